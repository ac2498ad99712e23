"""Files that users have saved with earlier versions go on loading, and give what they gave."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from places import SAVED_FILES

import cvhn_tf
from cvhn_tf import export

HYPERNETWORKS = [
    path.with_suffix(".keras")
    for folder in SAVED_FILES
    for path in sorted(folder.glob("*.npz"))
    if path.stem not in ("networks", "variational_layers")
]


def test_there_are_files_of_every_parameterization():
    names = {path.name for path in HYPERNETWORKS}
    assert len(names) == 7 and "gated.keras" in names


@pytest.mark.parametrize("path", HYPERNETWORKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_hypernetwork_gives_what_it_gave_and_trains_on_as_it_would_have(path):
    expected = np.load(path.with_suffix(".npz"))
    model = cvhn_tf.load_model(path)
    for i, complexity in enumerate((0.1, 1.0, 10.0)):
        outputs = model.at(complexity)(expected["x"])
        np.testing.assert_allclose(outputs, expected[f"at_{complexity:g}"], rtol=1e-4, atol=1e-5)
        assert model.description_length(complexity) == pytest.approx(expected["bits"][i], rel=1e-4)
    history = model.fit(expected["x"], expected["y"], batch_size=8, epochs=1, verbose=0, shuffle=False)
    assert history.history["loss"][0] == pytest.approx(expected["loss_of_next_epoch"], rel=1e-3)


@pytest.mark.parametrize("folder", SAVED_FILES, ids=lambda folder: folder.name)
def test_networks_packed_files_and_layers_give_what_they_gave(folder):
    networks = np.load(folder / "networks.npz")
    loaded = {name: keras.saving.load_model(folder / f"{name}.keras") for name in ("pruned", "compacted")}
    loaded["unpacked"] = export.unpack(folder / "packed.cvhn")
    for name, network in loaded.items():
        np.testing.assert_allclose(network(networks["x"]), networks[name], rtol=1e-4, atol=1e-5)
    layers = np.load(folder / "variational_layers.npz")
    outputs = keras.saving.load_model(folder / "variational_layers.keras")(layers["x"])
    np.testing.assert_allclose(outputs, layers["outputs"], rtol=1e-4, atol=1e-5)


def test_files_load_in_a_new_process_that_has_imported_the_package_alone():
    path = next(path for path in HYPERNETWORKS if path.stem == "gated")
    code = f"import cvhn_tf; print(cvhn_tf.load_model({str(path)!r}).description_length(1.0))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert float(printed) == pytest.approx(np.load(path.with_suffix(".npz"))["bits"][1], rel=1e-4)
