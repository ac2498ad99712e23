"""The work of `export`: one network to one TFLite file, its metadata, its model card, and what it measures."""

import keras

from cvhn_tf import export as stages
from cvhn_tf.export.clients.checks import check_client_computes
from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.keras_metric import output_names
from cvhn_tf.export.evaluation.keras_outputs import all_outputs
from cvhn_tf.export.evaluation.metric import ACCURACY
from cvhn_tf.export.pruning.weight_groups import STRUCTURES
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf_cli.arguments import QUANTIZATIONS
from cvhn_tf_cli.terminal import progress
from cvhn_tf_cli.work.model_card import passed_over, report_file

_CALIBRATION_EXAMPLES = 1000
_PRUNED = {
    "weight": "",
    "unit": ", whole units",
    "block": ", whole blocks",
    "pointwise": " of 1×1 convolutions",
}
# Enough to see a tenth of a percentage point.
_SELECTION_EXAMPLES = 10_000


def export(
    model,
    output,
    *,
    complexity,
    sparsity,
    structure,
    scope,
    encoding,
    client,
    step,
    max_accuracy_loss,
    command,
    dataset=None,
    finetune_epochs=0,
    polyphase=False,
    fast_sparse=False,
    integer_only=False,
    metric="accuracy",
    max_metric_loss=None,
):
    """Writes the network at one complexity to `output` and prints its figures; accuracy and latency on `dataset`.

    A `.json` file with the metadata and a `.md` file, the model card, come beside it.
    """
    if encoding != "auto":
        check_client_computes(as_client(client), QUANTIZATIONS[encoding])
    calibration = dataset and calibration_images(dataset)
    judge = as_metric(metric)
    if dataset and judge is not ACCURACY:
        network = model.at(complexity)
        judge = judge.for_outputs(output_names(network))
        judge.examples(network, selection_images(dataset))  # which sees whether the metric takes them, at once
    losses = {"max_accuracy_loss": max_accuracy_loss, "metric": judge, "max_metric_loss": max_metric_loss}
    settings = {"complexity": complexity, "sparsity": sparsity, "structure": structure}
    pruned = settings | {"scope": scope}

    def rounded_to(bits):
        return _recalibrated(stages.round_weights(model, **pruned, bits=bits, step=step), calibration)

    def to_be_encoded(network, bits):
        networks = [stages.compact(network, bits)]
        if STRUCTURES[structure].broken_by_compact:
            networks.append(network)
        if fast_sparse:
            return list(map(stages.fast_sparse, networks))
        return list(map(stages.polyphase, networks)) if polyphase else networks

    bits = None if encoding == "auto" else ENCODINGS[QUANTIZATIONS[encoding]].integer_bits
    if finetune_epochs:
        network = _finetune(stages.prune(model, **pruned), dataset, finetune_epochs)
        step = 0  # the posterior says nothing of weights that were trained since
    elif step and bits is not None:
        network = rounded_to(bits)
    else:
        network = _recalibrated(stages.prune(model, **pruned), calibration)
    networks = to_be_encoded(network, bits or 32)
    if encoding == "auto":
        by_bits = {bits: to_be_encoded(rounded_to(bits), bits) for bits in ((8, 4) if step else ())}
        artifacts = [
            stages.smallest(
                network,
                representative_data=calibration,
                data=dataset and selection_images(dataset),
                **losses,
                rounded={bits: rounded[i] for bits, rounded in by_bits.items()},
                client=client,
            )
            for i, network in enumerate(networks)
        ]
    else:
        artifacts = [
            stages.to_tflite(
                smaller,
                QUANTIZATIONS[encoding],
                representative_data=calibration,
                client=client,
                integer_only=integer_only,
            )
            for smaller in networks
        ]
    artifact = min(artifacts, key=lambda artifact: artifact.size_bytes)
    if dataset and encoding != "auto":
        if step and bits is not None:  # what rounding loses counts too
            network = _recalibrated(stages.prune(model, **pruned), calibration)
        artifact = stages.check_accuracy(artifact, network, selection_images(dataset), **losses)
    artifact = stages.annotate(artifact, **settings, labels=dataset and dataset.classes)

    figures = {
        "size_bytes": f"{artifact.size_bytes:,}",
        "gzip_bytes": f"{artifact.gzip_bytes:,}",
        "complexity": f"{complexity:g}",
        "description length": f"{model.description_length(complexity):,.0f} bits before pruning",
        "sparsity": f"{sparsity:g}" + _PRUNED[structure] + (" of each layer" if scope == "layer" else ""),
        "encoding": artifact.encoding,
        "client": ", ".join(artifact.clients),
    }
    figures |= passed_over(artifact)
    if finetune_epochs:
        figures["fine-tuning"] = f"{finetune_epochs} epochs"
    if dataset:
        measured = stages.evaluate_tflite(artifact, dataset.x_test, dataset.y_test, client=client, metric=judge)
        figures[f"dense {judge.name}"] = f"{judge.number(dense_value(model, complexity, dataset, judge))} in Keras"
        figures[f"test {judge.name}"] = judge.number(judge.of(measured))
        figures["latency"] = f"{measured.latency_ms:.4f} ms in {measured.latency_client}"
    elif artifact.latency_ms is not None:
        figures["latency"] = f"{artifact.latency_ms:.4f} ms"
    artifact.save(output)
    report_file(output, artifact, figures, command, dataset, metric=judge.name)


def _finetune(network, dataset, epochs):
    with progress("Fine-tuning", epochs, "epochs") as advance:
        report = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: advance(epoch + 1, f"loss {logs['loss']:.3f}")
        )
        return stages.finetune(network, (dataset.x_train, dataset.y_train), epochs=epochs, callbacks=[report])


def _recalibrated(network, calibration):
    return network if calibration is None else stages.recalibrate(network, calibration)


def calibration_images(dataset):
    """The training images that batch normalization takes its statistics from, and int8 its ranges."""
    return dataset.x_train[:_CALIBRATION_EXAMPLES]


def selection_images(dataset):
    """The training images, and their labels, on which encodings are judged: test images are to judge the file."""
    return dataset.x_train[:_SELECTION_EXAMPLES], dataset.y_train[:_SELECTION_EXAMPLES]


def dense_accuracy(model, complexity, dataset, examples=slice(None)) -> float:
    """Accuracy in Keras of the whole network at a complexity, on all test images or a slice of them."""
    return dense_value(model, complexity, dataset, ACCURACY, examples)


def dense_value(model, complexity, dataset, metric, examples=slice(None)) -> float:
    """As `dense_accuracy`, in any `Metric`."""
    network = stages.recalibrate(model.at(complexity), calibration_images(dataset))
    if metric is ACCURACY:
        return accuracy_of(network, dataset, examples)
    return metric.value(all_outputs(network, dataset.x_test[examples]), dataset.y_test[examples])


def accuracy_of(network, dataset, examples=slice(None)) -> float:
    """Accuracy in Keras of a network, on all test images or a slice of them."""
    outputs = network.predict(dataset.x_test[examples], batch_size=1000, verbose=0)
    return (outputs.argmax(axis=-1) == dataset.y_test[examples]).mean()


def name_encoding(coded, joint=", ") -> str:
    """Quantization and sparsity of an artifact or of a row of a comparison, in words."""
    return (coded.quantization or "float32") + (f"{joint}sparse" if coded.sparse else "")
