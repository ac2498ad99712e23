"""What the options may be, checked before TensorFlow is imported."""

import json
import math
import os
import tempfile

DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10")
TARGETS = (
    "lenet_300_100",
    "lenet_5",
    "lenet_5_caffe",
    "mlp_50",
    "convnet",
    "resnet_8",
    "ds_cnn",
    "mobilenet_v1_025",
    "searchable_mlp",
    "searchable_convnet",
    "convolutional_fabric",
)
# Of these, the ones whose structure is chosen.
SEARCHABLE = TARGETS[-3:]
# What `--structure-cost` may be, as in `cvhn_tf.VariationalHypernetwork`.
STRUCTURE_COSTS = ("multiply_adds", "parameters")
# What `--encoding` may be, as in `cvhn_tf.export.to_tflite` but for float32.
_ENCODINGS = ("float16", "dynamic_range", "int8", "weight_only_int8", "weight_only_int4", "dynamic_int4")
# What `--encoding` calls it -> what `cvhn_tf.export` calls it.
QUANTIZATIONS = {"float32": None, "none": None} | {name: name for name in _ENCODINGS}
# What `--client` may be, as in `cvhn_tf.export.to_tflite`.
CLIENTS = ("any", "cpu", "gpu", "web", "tflite", "micro")
# What `--structure` may be, as in `cvhn_tf.export.prune`.
STRUCTURES = ("weight", "unit", "block", "pointwise")
SCOPES = ("global", "layer")
# As in `cvhn_tf.export.compare`.
SPARSITIES = "0,0.9,0.95,0.98,0.985,0.99"
# What `--strategy` may be beside "auto".
STRATEGIES = ("none", "mirrored", "multiworker")


def check_choice(option, value, choices):
    """Raises a `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"Expected `{option}` to be one of {', '.join(choices)}. Received: {option}={value}")


def parse_names(option, texts, choices) -> list[str]:
    """The names in texts like "any,micro", each once; raises a `ValueError` unless all are among `choices`."""
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        check_choice(option, name, choices)
    return list(dict.fromkeys(names))


def check_source(source, target, output) -> str | None:
    """Returns the target's name, None for a trained model instead, or raises a `ValueError` unless there is just one.

    Args:
        source: Path that `--from` gave, or None.
        target: What `--target` gave, or None.
        output: Path of the file to write.
    """
    if source is None:
        check_choice("--target", target or "lenet_300_100", TARGETS)
        return target or "lenet_300_100"
    if target is not None:
        raise ValueError(f"Expected either `--from` or `--target`. Received: --from={source}, --target={target}")
    if not source.is_file():
        raise ValueError(f"Expected `--from` to be a .keras file. Received: --from={source}, which is not there")
    if output.exists() and output.samefile(source):
        raise ValueError(f"Expected `--output` to be another file than `--from`. Received: --output={output}")
    return None


def check_sparsity(option, value):
    """Raises a `ValueError` unless `value` is a share of the weights below 1."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"Expected `{option}` in [0, 1), a share of the weights. Received: {option}={value:g}")


def as_metric_name(metric) -> str | None:
    """What `--metric` gave, None for accuracy."""
    return None if metric is None or metric.lower() in ("accuracy", "acc") else metric


def check_metric(metric, dataset, of_accuracy, of_metric):
    """Raises a `ValueError` unless options fit the metric that files are compared by.

    Args:
        metric: What `--metric` gave, or None for accuracy.
        dataset: Name of the data set, or None.
        of_accuracy: Dict from options that are about accuracy to their values, None where they were not given.
        of_metric: Likewise those about any other metric.
    """
    for option, value in (of_metric if metric is None else of_accuracy).items():
        if value is not None and metric is None:
            raise ValueError(f"Expected `--metric`, another than accuracy, with `{option}`. Received: no --metric")
        if value is not None:
            raise ValueError(f"Expected no `{option}` with `--metric`. Received: {option}={value:g}, --metric={metric}")
    if metric is not None and dataset is None:
        raise ValueError("Expected `--dataset`, on which it is measured, with `--metric`. Received: no --dataset")


def check_budgets(budgets, dataset, unsearched):
    """Raises a `ValueError` unless each budget is in its range, and there are data to choose on if there is a budget.

    Args:
        budgets: Dict from the name of each option that was given to its value.
        dataset: Name of the data set, or None.
        unsearched: Dict from options that do not go with a budget to their values, None where they were not given.
    """
    for option, value in unsearched.items():
        if budgets and value is not None:
            raise ValueError(f"Expected no `{option}` with {next(iter(budgets))}. Received: {option}={value}")
    for option, value in budgets.items():
        if option == "--min-accuracy":
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"Expected `{option}` in [0, 1]. Received: {option}={value:g}")
        elif option in ("--min-metric", "--max-metric"):
            if not math.isfinite(value):
                raise ValueError(f"Expected `{option}` to be a finite number. Received: {option}={value:g}")
        elif not 0.0 < value < math.inf:
            raise ValueError(f"Expected `{option}` to be positive. Received: {option}={value:g}")
    if budgets and dataset is None:
        option = next(iter(budgets))
        raise ValueError(f"Expected `--dataset`, on which files are chosen, with `{option}`. Received: no --dataset")


def check_step(value):
    """Raises a `ValueError` unless `value` is positive and finite."""
    if not 0.0 < value < math.inf:
        raise ValueError(f"Expected `--step` to be positive. Received: --step={value:g}")


def check_least_step(value):
    """Raises a `ValueError` unless `value` is a finite number from 0 on."""
    if not 0.0 <= value < math.inf:
        raise ValueError(f"Expected `--step` to be at least 0. Received: --step={value:g}")


def check_metric_loss(value):
    """Raises a `ValueError` unless `value` is a share of a metric."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(
            f"Expected `--max-metric-loss` in [0, 1]. Received: --max-metric-loss={value:g}; 0.01 is a hundredth"
        )


def check_accuracy_loss(value):
    """Raises a `ValueError` unless `value` is a difference of accuracies."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(
            f"Expected `--max-accuracy-loss` in [0, 1]. Received: --max-accuracy-loss={value:g}; 0.001 is 0.1 points"
        )


def check_rate_weight(value):
    """Raises a `ValueError` unless `value` is a finite number from 0 on."""
    if not 0.0 <= value < math.inf:
        raise ValueError(f"Expected `--rate-weight` to be at least 0. Received: --rate-weight={value:g}")


def check_learning_rate(value):
    """Raises a `ValueError` unless `value` is None, or positive and finite."""
    if value is not None and not 0.0 < value < math.inf:
        raise ValueError(f"Expected `--learning-rate` to be positive. Received: --learning-rate={value}")


def check_structure_options(options, target):
    """Raises a `ValueError` if options of a structure are given for a target without choices, or out of range.

    Args:
        options: Dict of the values of `--structure-cost`, `--price` and `--budget`, None where they are not given.
        target: Name of the target, None for a model of the user's own.
    """
    given = {f"--{name.replace('_', '-')}": value for name, value in options.items() if value is not None}
    for option, value in given.items():
        if target is None:
            raise ValueError(f"Expected no `{option}` with `--from`. Received: {option}={value}")
        if target not in SEARCHABLE:
            raise ValueError(
                f"Expected `--target` to be one of {', '.join(SEARCHABLE)} with `{option}`. "
                f"Received: --target={target}, {option}={value}"
            )
        if option == "--structure-cost":
            check_choice(option, value, STRUCTURE_COSTS)
        elif not 0.0 <= value < math.inf:
            raise ValueError(f"Expected `{option}` to be a number of 0 or more. Received: {option}={value}")


def check_cluster(strategy):
    """Raises a `ValueError` unless TF_CONFIG is one that the strategy can train with."""
    workers = count_workers()
    if strategy == "multiworker" and workers < 2:
        raise ValueError(
            "Expected TF_CONFIG to name several workers with `--strategy multiworker`. "
            f"Received: TF_CONFIG={os.environ.get('TF_CONFIG', '')!r}"
        )
    if strategy in ("none", "mirrored") and workers > 1:
        raise ValueError(
            f"Expected `--strategy multiworker` or auto, as TF_CONFIG names {workers} workers. "
            f"Received: --strategy={strategy}"
        )


def count_workers() -> int:
    """Number of workers that TF_CONFIG names, 0 where it is not set."""
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
        cluster = config.get("cluster", {})
        jobs = {job: len(addresses) for job, addresses in cluster.items()}
        task = config.get("task", {})
        is_known = not jobs or int(task["index"]) in range(jobs[task["type"]])
        is_known &= all(_is_address(address) for addresses in cluster.values() for address in addresses)
    except (ValueError, TypeError, AttributeError, KeyError):
        is_known = False
    if not is_known or set(jobs) - {"chief", "worker"}:
        raise ValueError(
            "Expected TF_CONFIG to name workers, and which one this is, as in "
            '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}. '
            f"Received: TF_CONFIG={text}"
        )
    return sum(jobs.values())


def _is_address(text):
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def check_model_output(path):
    """Raises a `ValueError` unless Keras can write a model to `path`."""
    if path.suffix != ".keras":
        raise ValueError(f"Expected `--output` to end in .keras. Received: --output={path}")
    check_writable(path)


def check_tflite_output(path):
    """Raises a `ValueError` unless a TFLite file can be written to `path`, and its .json and .md beside it."""
    if path.suffix in (".json", ".md", ".keras"):  # .keras may be the model itself
        raise ValueError(f"Expected `--output` not to end in .json, .md or .keras. Received: --output={path}")
    check_writable(path)


def check_packed_output(path):
    """Raises a `ValueError` unless a packed network can be written to `path`."""
    if path.suffix == ".keras":  # it may be the model itself
        raise ValueError(f"Expected `--output` not to end in .keras. Received: --output={path}")
    check_writable(path)


def check_writable(path):
    """Makes the folder of `path`, so that a run does not end with a file that it cannot write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"Expected a place to write to. Received: --output={path} ({error.strerror})") from error
    if path.is_dir():
        raise ValueError(f"Expected a file name. Received: --output={path}, which is a folder")
    if path.exists() and not path.is_file():
        raise ValueError(f"Expected a file name. Received: --output={path}, which is a device or a pipe")


def parse_numbers(option, text):
    """The numbers in a text like "0.1,1,10"."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"Expected `{option}` to be numbers separated by commas. Received: {option}={text}") from None
