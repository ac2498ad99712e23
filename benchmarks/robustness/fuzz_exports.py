"""Exports random small architectures in every encoding: a file that agrees with Keras, or a ConversionError.

The architectures are those that the tests of `compact` draw: images, convolutions of all kinds, branches, shared and
nested layers, dead units. Each file is opened anew by LiteRT, on the inputs on which it was checked and on others like
them, and compared with the Keras model.

python -m benchmarks.robustness.fuzz_exports --architectures 300
"""

import argparse
import collections
import pathlib
import time

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np

from benchmarks.robustness.fuzz_report import finish
from benchmarks.robustness.random_networks import network, prune_at_random
from cvhn_tf import export
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.verification.litert import LiteRTModel

EXAMPLES = 16
# The time is looked at after so many architectures.
BATCH = 5


def relative_error(artifact, model, x) -> float:
    """Root mean square of the difference between LiteRT and Keras, as a share of Keras's; of the worst output."""
    outputs = LiteRTModel(artifact).run([x])
    expected = [output.numpy() for output in keras.tree.flatten(model(x, training=False))]
    if [array.shape for array in outputs] != [array.shape for array in expected]:
        return float("inf")
    scales = [max(np.sqrt(np.mean(np.square(array, dtype="float64"))), 1e-6) for array in expected]
    errors = [
        np.sqrt(np.mean(np.square(ours - theirs, dtype="float64"))) / scale
        for ours, theirs, scale in zip(outputs, expected, scales, strict=True)
    ]
    return float(max(errors)) if np.isfinite(errors).all() else float("inf")


def try_export(model, quantization, rng) -> tuple[str, float | None]:
    """What comes of one export, and the file's error on inputs that it was not checked on."""
    seen, unseen = (rng.uniform(size=(EXAMPLES, *model.input_shape[1:])).astype("float32") for _ in range(2))
    try:
        artifact = export.to_tflite(model, quantization, representative_data=seen, client="cpu")
    except export.ConversionError:
        return "refused", None
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}", None
    if not relative_error(artifact, model, seen) <= ENCODINGS[quantization].tolerance:
        return "file that does not agree", None
    return "agrees", relative_error(artifact, model, unseen)


def fuzz(architectures, seed, seconds, progress=print) -> dict:
    """Exports so many architectures in each encoding, or as many as there is time for."""
    counts = {str(name or "float32"): collections.Counter() for name in ENCODINGS}
    unseen = {name: [] for name in counts}
    wrong, start, number = [], time.monotonic(), 0

    def try_one(data):
        nonlocal number
        keras.utils.clear_session()
        rng = np.random.default_rng([seed, number])
        model = prune_at_random(network(data.draw), rng, *data.draw(st.sampled_from([(0.3, 0.0), (0.2, 0.7)])))
        if data.draw(st.booleans()):
            model = export.compact(model)
        for quantization, name in zip(ENCODINGS, counts, strict=True):
            outcome, error = try_export(model, quantization, rng)
            counts[name][outcome] += 1
            if outcome not in ("agrees", "refused"):
                wrong.append({"architecture": number, "encoding": name, "outcome": outcome})
            if error is not None:
                unseen[name].append(error)
        number += 1

    while number < architectures and time.monotonic() - start < seconds:
        some = min(BATCH, architectures - number)
        settings = hypothesis.settings(
            deadline=None,
            database=None,
            max_examples=some,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        hypothesis.seed(1000 * seed + number)(settings(hypothesis.given(st.data())(try_one)))()
        progress(f"{number} architectures, {len(wrong)} wrong, {time.monotonic() - start:.0f} s", flush=True)
    return {
        "architectures": number,
        "seed": seed,
        "outcomes": {name: dict(counter) for name, counter in counts.items()},
        "largest_relative_error_on_other_inputs": {name: max(errors, default=None) for name, errors in unseen.items()},
        "files_beyond_the_tolerance_on_other_inputs": {
            name: sum(error > ENCODINGS[None if name == "float32" else name].tolerance for error in errors)
            for name, errors in unseen.items()
        },
        "wrong": wrong,
        "seconds": round(time.monotonic() - start, 1),
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no others after these")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("fuzz-exports.json"))
    options = parser.parse_args(arguments)
    return finish(fuzz(options.architectures, options.seed, options.seconds), options.output)


if __name__ == "__main__":
    raise SystemExit(main())
