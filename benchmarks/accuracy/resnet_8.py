"""ResNet-8 on CIFAR-10 from trained weights: accuracy at each λ, the smallest files, and what fewer units are worth.

A plain training, or a trained network of MLPerf Tiny's, one hypernetwork from its weights in a fraction of the time,
then what users ask for: the smallest TFLite files of some accuracies and the smallest packed one, and the time of
networks with fewer units after three more epochs. Beside them tfmot's pruning and clustering, each point a training
from the same weights. Images are flipped and moved by up to four pixels in all trainings. Files are chosen on half of
the test images.

Each stage is kept in the folder and not run again; a training that was interrupted goes on from its last epoch.

python -m benchmarks.accuracy.resnet_8 --output benchmarks/results/resnet_8
python -m benchmarks.accuracy.resnet_8 --trained pretrainedResnet.h5 --output benchmarks/results/resnet_8
python -m benchmarks.accuracy.resnet_8 --dataset digits --epochs 4 --fit-epochs 2 --output build/resnet_8
"""

import argparse
import pathlib
import time

import keras
import numpy as np

import cvhn_tf
from benchmarks.accuracy.tfmot.jobs import train_with_tfmot
from benchmarks.accuracy.tfmot.moved_images import moved
from benchmarks.stages import run_stages
from cvhn_tf import datasets, export, targets

CALIBRATION_EXAMPLES = 5000
SEARCH_EXAMPLES = 2000  # of them, for each network of a search
MOVE = 4  # pixels
WEIGHT_DECAY = 5e-3  # of the weights, times the learning rate, a step


def main():
    args = parse()
    data = datasets.load(args.dataset)
    stages = {
        "plain": train_plain,
        "fit": fit,
        "complexities": complexities,
        "files": files,
        "packed": packed,
        "units": units,
        "tfmot": tfmot,
    }
    run_stages(args, data, stages)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10", choices=datasets.names())
    parser.add_argument("--epochs", type=int, default=40, help="of the plain training")
    parser.add_argument("--trained", type=pathlib.Path, help="MLPerf Tiny's pretrainedResnet.h5, instead of a training")
    parser.add_argument("--fit-epochs", type=int, default=8, help="of the hypernetwork")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="largest one of the hypernetwork")
    parser.add_argument("--initial-stddev", type=float, default=0.016, help="of the hypernetwork's weights")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--complexities", type=float, nargs="+", default=[0.01, 0.03, 0.1, 0.3, 1.0])
    parser.add_argument("--min-accuracies", type=float, nargs="+", default=[0.85, 0.84, 0.82], help="of the files")
    parser.add_argument("--unit-sparsities", type=float, nargs="+", default=[0.3, 0.5])
    parser.add_argument("--tfmot-sparsities", type=float, nargs="+", default=[0.5, 0.7])
    parser.add_argument("--tfmot-epochs", type=int, default=3, help="of each training with tfmot")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/resnet_8"))
    return parser.parse_args()


def run(model, args, data, epochs, name):
    """Trains, and returns the seconds that it took in all, by the clock and of processors."""
    log = args.output / f"{name}_epochs.csv"
    begun = time.perf_counter(), time.process_time()

    def note(epoch, logs):
        nonlocal begun
        ended = time.perf_counter(), time.process_time()
        with open(log, "a") as file:
            file.write(f"{epoch},{ended[0] - begun[0]:.1f},{ended[1] - begun[1]:.1f},{logs['loss']:.4f}\n")
        begun = ended

    callbacks = [
        keras.callbacks.BackupAndRestore(args.output / f"{name}_backup"),
        keras.callbacks.LambdaCallback(on_epoch_end=note),
    ]
    model.fit(moved(data.x_train, data.y_train, args.batch_size, MOVE), epochs=epochs, verbose=2, callbacks=callbacks)
    times = [line.split(",")[1:3] for line in log.read_text().splitlines()]
    seconds, processor_seconds = (sum(map(float, column)) for column in zip(*times, strict=True))
    return {"seconds": seconds, "processor_seconds": processor_seconds}


def train_plain(args, data):
    if args.trained:
        network = trained_by_mlperf(args.trained, data)
        network.save(args.output / "plain.keras")
        return {"accuracy": accuracy(network, data), "trained": args.trained.name}
    keras.utils.set_random_seed(args.seed)
    network = targets.get("resnet_8", data.input_shape, data.num_classes)
    steps = len(data.x_train) // args.batch_size
    warmup = max(1, 2 * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.01, max(1, args.epochs * steps - warmup), warmup_target=0.1, warmup_steps=warmup
    )
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=WEIGHT_DECAY)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    network.compile(optimizer, "sparse_categorical_crossentropy")
    times = run(network, args, data, args.epochs, "plain")
    network.save(args.output / "plain.keras")
    return {"accuracy": accuracy(network, data), **times}


def trained_by_mlperf(path, data):
    """Their weights in our network, for images in [0, 1] instead of [0, 255].

    Their first kernel, times 255, would have weights 500 times as large as all others: what scales it is the
    normalization's behind it, whose statistics are divided by as much.
    """
    network = targets.get("resnet_8", data.input_shape, data.num_classes)
    network.set_weights(keras.saving.load_model(path, compile=False, safe_mode=True).get_weights())
    convolution, normalization = network.layers[1:3]
    kernel, bias = convolution.get_weights()
    gamma, beta, mean, variance = normalization.get_weights()
    scale = np.sqrt(variance.mean())
    epsilon = normalization.epsilon
    gamma = gamma * np.sqrt((variance / scale**2 + epsilon) / ((variance + epsilon) / scale**2))
    convolution.set_weights([kernel * 255 / scale, bias / scale])
    normalization.set_weights([gamma, beta, mean / scale, variance / scale**2])
    return network


def fit(args, data):
    keras.utils.set_random_seed(args.seed)
    trained = keras.saving.load_model(args.output / "plain.keras", compile=False, safe_mode=True)
    model = cvhn_tf.VariationalHypernetwork(
        trained,
        pretrained=True,
        complexity_range=(min(args.complexities), max(args.complexities)),
        parameterization="gated",
        initial_stddev=args.initial_stddev,
        train_size=len(data.x_train),
        seed=args.seed,
    )
    steps = args.fit_epochs * (len(data.x_train) // args.batch_size)
    optimizer = cvhn_tf.default_optimizer(steps, args.learning_rate, pretrained=True)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    times = run(model, args, data, args.fit_epochs, "fit")
    model.save(args.output / "model.keras")
    return times


def complexities(args, data):
    """Of the networks with all their weights, and their statistics of batch normalization measured anew."""
    model, sample = load(args), calibration_images(args, data)
    return [
        {
            "complexity": complexity,
            "accuracy": accuracy(export.recalibrate(model.at(complexity), sample), data),
            "description_length_bits": model.description_length(complexity),
        }
        for complexity in args.complexities
    ]


def files(args, data):
    """The smallest files that keep an accuracy on the choosing half, as they are and by gzip."""
    model, sample = load(args), calibration_images(args, data)[:SEARCH_EXAMPLES]
    chosen_on, others = halves(data)
    rows = []
    for accuracy in args.min_accuracies:
        try:
            found = export.best(
                model,
                chosen_on,
                min_accuracy=accuracy,
                complexities=args.complexities[-3:],
                sparsities=(0.0, 0.2, 0.4, 0.6),
                structures=("weight",),  # a fiftieth of its units costs more than 4 bits for each weight
                quantizations=("int8", "weight_only_int4", "dynamic_int4"),
                representative_data=sample,
                client="cpu",
            )
        except ValueError as error:
            rows.append({"min_accuracy": accuracy, "none": str(error)})
            continue
        found.save(args.output / f"smallest_{accuracy}.tflite")
        chosen = found.chosen
        rows.append(
            {
                "min_accuracy": accuracy,
                "size_bytes": chosen.size_bytes,
                "least_gzip_bytes": min(one.gzip_bytes for one in found.trace if one.accepted),
                "settings": [chosen.complexity, chosen.sparsity, chosen.structure, chosen.encoding],
                "accuracy_chosen_on": chosen.accuracy,
                "accuracy_others": export.evaluate_tflite(found.artifact, *others).accuracy,
            }
        )
    return rows


def packed(args, data):
    """The smallest packed file that keeps the first of the accuracies on the choosing half."""
    chosen_on, others = halves(data)
    found = export.smallest_packed(
        load(args),
        chosen_on,
        args.min_accuracies[0],
        complexities=args.complexities[-2:],
        sparsities=(0.4, 0.5, 0.6),
        steps=(2.0, 2.6),
        rate_weights=(0.15, 0.3),
        representative_data=calibration_images(args, data)[:SEARCH_EXAMPLES],
    )
    if found is None:
        return {}
    found.save(args.output / "smallest.cvhn")
    network = export.unpack(found)
    return {
        "size_bytes": found.size_bytes,
        "weights_bytes": found.weights_bytes,
        "accuracy_chosen_on": accuracy_on(network, *chosen_on),
        "accuracy_others": accuracy_on(network, *others),
    }


def units(args, data):
    """LiteRT's time for one image, of the whole network in float32 and of those with fewer units after three epochs."""
    model = load(args)
    dense = export.evaluate_tflite(export.to_tflite(model.at(0.1), client="cpu"), data.x_test[:100], data.y_test[:100])
    rows = []
    for sparsity in args.unit_sparsities:
        network = export.compact(export.prune(model, 0.1, sparsity=sparsity, structure="unit"))
        network = export.finetune(network, moved(data.x_train, data.y_train, args.batch_size, MOVE), epochs=3)
        artifact = export.to_tflite(network, client="cpu")
        measured = export.evaluate_tflite(artifact, data.x_test, data.y_test)
        rows.append(
            {
                "sparsity": sparsity,
                "parameters": network.count_params(),
                "size_bytes": artifact.size_bytes,
                "accuracy": measured.accuracy,
                "times_as_fast": dense.latency_ms / measured.latency_ms,
            }
        )
    return {"dense_ms": dense.latency_ms, "fewer_units": rows}


def tfmot(args, data):
    """Files of networks that tfmot has trained on from the plain one, and the seconds of each training."""
    jobs = [("prune_low_magnitude", sparsity) for sparsity in args.tfmot_sparsities] + [("cluster_weights", 0.0)]
    sample, rows = calibration_images(args, data), []
    for method, sparsity in jobs:
        network = keras.saving.load_model(args.output / "plain.keras", compile=False, safe_mode=True)
        seconds = train_with_tfmot(
            network, data, method, sparsity, args.tfmot_epochs, args.batch_size, args.seed, start=True, move=MOVE
        )
        for quantization in (None, "float16", "dynamic_range", "int8"):
            artifact = export.to_tflite(network, quantization, representative_data=sample, client="cpu")
            rows.append(
                {
                    "method": method,
                    "sparsity": sparsity,
                    "seconds": seconds,
                    "quantization": quantization,
                    "size_bytes": artifact.size_bytes,
                    "gzip_bytes": artifact.gzip_bytes,
                    "accuracy": export.evaluate_tflite(artifact, data.x_test, data.y_test).accuracy,
                }
            )
    return rows


def calibration_images(args, data):
    """Training images as the trainings saw them: statistics of unmoved ones, learned by heart, cost a point."""
    keras.utils.set_random_seed(args.seed)
    examples = min(CALIBRATION_EXAMPLES, len(data.x_train))
    return next(iter(moved(data.x_train, data.y_train, examples, MOVE)))[0].numpy()


def halves(data):
    """Test images to choose files on, and the others."""
    return [(data.x_test[i::2], data.y_test[i::2]) for i in (0, 1)]


def load(args):
    return cvhn_tf.load_model(args.output / "model.keras", compile=False)


def accuracy(network, data):
    return accuracy_on(network, data.x_test, data.y_test)


def accuracy_on(network, x, y):
    return float(np.mean(network.predict(x, batch_size=1000, verbose=0).argmax(axis=-1) == y))


if __name__ == "__main__":
    main()
