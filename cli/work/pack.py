"""The work of `pack` and `unpack`: one network to the fewest bytes and back."""

from cvhn_tf import export as stages
from cvhn_tf_cli.terminal import make_table, show
from cvhn_tf_cli.work.export import calibration_images
from cvhn_tf_cli.work.saving import save_atomically


def pack(model, output, *, complexity, sparsity, step, rate_weight, dataset=None):
    """Writes the packed network at one complexity to `output`, and prints its figures; accuracy on `dataset`."""
    calibration = calibration_images(dataset) if dataset else None
    packed = stages.pack(
        model, complexity, sparsity, step=step, rate_weight=rate_weight, representative_data=calibration
    )
    packed.save(output)

    table = make_table(f"{output}", "", "")
    table.add_row("size_bytes", f"{packed.size_bytes:,}")
    table.add_row("weights_bytes", f"{packed.weights_bytes:,}")
    table.add_row("architecture_bytes", f"{packed.architecture_bytes:,}")
    table.add_row("weights kept", f"{packed.weights_kept:,}")
    table.add_row("bits per kept weight", f"{packed.bits_per_kept_weight:.2f}")
    table.add_row("complexity", f"{complexity:g}")
    table.add_row("KL", f"{model.description_length(complexity):,.0f} bits before pruning")
    table.add_row("sparsity", f"{sparsity:g}")
    table.add_row("step", f"{step:g} standard deviations")
    table.add_row("rate weight", f"{rate_weight:g}")
    if dataset:
        outputs = stages.unpack(packed).predict(dataset.x_test, batch_size=1000, verbose=0)
        table.add_row("test accuracy", f"{(outputs.argmax(axis=-1) == dataset.y_test).mean():.4f}")
    show(table)


def unpack(file, output):
    """Writes the network of a packed file to `output` as a Keras model, and prints what it is."""
    network = stages.unpack(file)
    save_atomically(network, output)
    show(f"Wrote {output}: {network.name}, {network.count_params():,} parameters")
