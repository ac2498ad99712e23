"""The work of `export`: one network to one TFLite file, and what it measures."""

import keras

from cvhn_tf import export as stages
from cvhn_tf_cli.arguments import QUANTIZATIONS
from cvhn_tf_cli.terminal import make_table, progress, show

_CALIBRATION_EXAMPLES = 256


def export(model, output, *, complexity, sparsity, structure, encoding, dataset=None, finetune_epochs=0):
    """Writes the network at one complexity to `output`, and prints its figures; accuracy and latency on `dataset`."""
    calibration = dataset and calibration_images(dataset)
    network = stages.prune(model, complexity, sparsity=sparsity, structure=structure)
    if finetune_epochs:
        network = _finetune(network, dataset, finetune_epochs)
    artifact = _convert(stages.compact(network), encoding, calibration)
    if structure == "block":  # removed inputs move the others across the borders of blocks
        artifact = min(artifact, _convert(network, encoding, calibration), key=lambda artifact: artifact.size_bytes)
    artifact.save(output)

    table = make_table(f"{output}", "", "")
    table.add_row("size_bytes", f"{artifact.size_bytes:,}")
    table.add_row("gzip_bytes", f"{artifact.gzip_bytes:,}")
    table.add_row("complexity", f"{complexity:g}")
    table.add_row("description length", f"{model.description_length(complexity):,.0f} bits before pruning")
    table.add_row("sparsity", f"{sparsity:g}" if structure == "weight" else f"{sparsity:g}, whole {structure}s")
    if finetune_epochs:
        table.add_row("fine-tuning", f"{finetune_epochs} epochs")
    table.add_row("encoding", name_encoding(artifact))
    if dataset:
        measured = stages.evaluate_tflite(artifact, dataset.x_test, dataset.y_test)
        table.add_row("test accuracy", f"{measured.accuracy:.4f}")
        table.add_row("latency", f"{measured.latency_ms:.4f} ms")
    show(table)


def _finetune(network, dataset, epochs):
    with progress("Fine-tuning", epochs, "epochs") as advance:
        report = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: advance(epoch + 1, f"loss {logs['loss']:.3f}")
        )
        return stages.finetune(network, (dataset.x_train, dataset.y_train), epochs=epochs, callbacks=[report])


def _convert(network, encoding, calibration):
    if encoding == "auto":
        return stages.smallest(network, representative_data=calibration)
    return stages.to_tflite(network, quantization=QUANTIZATIONS[encoding], representative_data=calibration)


def calibration_images(dataset):
    """The training images that int8 takes its ranges from."""
    return dataset.x_train[:_CALIBRATION_EXAMPLES]


def name_encoding(coded, joint=", ") -> str:
    """Quantization and sparsity of an artifact or of a row of a comparison, in words."""
    return (coded.quantization or "float32") + (f"{joint}sparse" if coded.sparse else "")
