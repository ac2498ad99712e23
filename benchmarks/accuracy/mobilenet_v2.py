"""MobileNetV2 on CIFAR-10, nine tenths of the weights of its 1×1 convolutions gone: accuracy, and speed in LiteRT.js.

A plain training and one hypernetwork from its weights, both on small images; of the hypernetwork's networks the best
with so many zeros, chosen on a tenth of the training images; finetuned as a network for the large images that the file
is for. The file computed without its zeros is then run beside the dense one of the same network, in turns, and both
clients' answers to test images are counted beside Keras's. Images are flipped and moved by up to an eighth of their
side.

Each stage is kept in the folder and not run again. CVHN_TF_LITERT_JS names the folder node_modules with
@litertjs/core.

python -m benchmarks.accuracy.mobilenet_v2 --output benchmarks/results/mobilenet_v2
python -m benchmarks.accuracy.mobilenet_v2 --dataset digits --epochs 2 --fit-epochs 2 --train-image 48 --image 64 \\
    --output build/mobilenet_v2
"""

import argparse
import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

import cvhn_tf
from benchmarks.accuracy.tfmot.moved_images import moved
from benchmarks.speed.turns import gain, in_turns
from benchmarks.stages import result_of, run_stages
from cvhn_tf import datasets, export
from cvhn_tf.export.verification import web

RECALIBRATION_EXAMPLES = 4000


def main():
    args = parse()
    data = datasets.load(args.dataset)
    stages = {"plain": train_plain, "fit": fit, "choose": choose, "finetune": finetune, "speed": speed}
    run_stages(args, data, stages)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="cifar10", choices=datasets.names())
    parser.add_argument("--epochs", type=int, default=8, help="of the plain training")
    parser.add_argument("--fit-epochs", type=int, default=3, help="of the hypernetwork")
    parser.add_argument("--finetune-epochs", type=int, default=1, help="of the pruned network, on large images")
    parser.add_argument("--train-image", type=int, default=48, help="height and width in training")
    parser.add_argument("--image", type=int, default=96, help="height and width in the file")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--complexities", type=float, nargs="+", default=[0.1, 0.3, 1.0, 3.0])
    parser.add_argument("--sparsity", type=float, default=0.9, help="of the 1×1 convolutions")
    parser.add_argument("--web-examples", type=int, default=1000, help="test images run by LiteRT.js")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/mobilenet_v2"))
    return parser.parse_args()


def network_for(side, classes):
    return keras.applications.MobileNetV2((side, side, 3), weights=None, classes=classes, classifier_activation=None)


def images(args, x, y, side, moving=True):
    """Batches of a size, with three channels; shuffled, mirrored and moved where `moving`."""

    def enlarge(batch, labels):
        coloured = tf.image.grayscale_to_rgb(batch) if x.shape[-1] == 1 else batch
        return 2 * tf.image.resize(coloured, [side, side]) - 1, labels

    if moving:
        batches = moved(x, y, args.batch_size, x.shape[1] // 8)
    else:
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(args.batch_size)
    return batches.map(enlarge, num_parallel_calls=1).prefetch(2)


def training_part(data):
    count = len(data.x_train) * 9 // 10
    return data.x_train[:count], data.y_train[:count]


def choosing_part(data):
    count = len(training_part(data)[0])
    return data.x_train[count:], data.y_train[count:]


def train_plain(args, data):
    keras.utils.set_random_seed(args.seed)
    network = network_for(args.train_image, data.num_classes)
    batches = images(args, *training_part(data), args.train_image)
    steps = args.epochs * len(batches)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, steps * 9 // 10, warmup_target=0.1, warmup_steps=steps // 10)
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=5e-4)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    network.compile(optimizer, loss())
    began = time.process_time()
    network.fit(batches, epochs=args.epochs, verbose=2)
    seconds = time.process_time() - began
    network = recalibrated(args, network, data, args.train_image)
    network.save(args.output / "plain.keras")
    return {"accuracy": accuracy(args, network, data.x_test, data.y_test), "processor_seconds": seconds}


def fit(args, data):
    keras.utils.set_random_seed(args.seed)
    trained = keras.saving.load_model(args.output / "plain.keras", compile=False, safe_mode=True)
    batches = images(args, *training_part(data), args.train_image)
    model = cvhn_tf.VariationalHypernetwork(
        trained, pretrained=True, complexity_range=(0.03, 10.0), train_size=len(training_part(data)[0]), seed=args.seed
    )
    model.compile(cvhn_tf.default_optimizer(args.fit_epochs * len(batches), pretrained=True), loss())
    began = time.process_time()
    model.fit(batches, epochs=args.fit_epochs, verbose=2)
    seconds = time.process_time() - began
    model.save(args.output / "model.keras")
    return {"processor_seconds": seconds}


def choose(args, data):
    """Accuracy by λ, whole and with the zeros, before any finetuning."""
    model = load(args)
    rows = []
    for complexity in args.complexities:
        whole = recalibrated(args, model.at(complexity), data, args.train_image)
        pruned = recalibrated(args, pruned_at(args, model, complexity), data, args.train_image)
        rows.append(
            {
                "complexity": complexity,
                "description_length_bits": float(model.description_length(complexity)),
                "whole": accuracy(args, whole, data.x_test, data.y_test),
                "pruned": accuracy(args, pruned, data.x_test, data.y_test),
                "pruned_chosen_on": accuracy(args, pruned, *choosing_part(data)),
            }
        )
        print(rows[-1], flush=True)
    return rows


def finetune(args, data):
    rows = result_of(args, "choose")
    complexity = max(rows, key=lambda row: row["pruned_chosen_on"])["complexity"]
    small = pruned_at(args, load(args), complexity)
    network = network_for(args.image, data.num_classes)
    network.set_weights(small.get_weights())
    keras.utils.set_random_seed(args.seed)
    batches = images(args, *training_part(data), args.image)
    began = time.process_time()
    network = export.finetune(network, batches, epochs=args.finetune_epochs, loss=loss(), verbose=2)
    seconds = time.process_time() - began
    network.save(args.output / "finetuned.keras")
    return {
        "complexity": complexity,
        "accuracy": accuracy(args, network, data.x_test, data.y_test),
        "zeros_of_pointwise": zeros_of_pointwise(network),
        "processor_seconds": seconds,
    }


def speed(args, data):
    """The file with its zeros left out beside the dense one of the same network, and what each client answers."""
    network = keras.saving.load_model(args.output / "finetuned.keras", compile=False, safe_mode=True)
    files = {
        "dense": export.to_tflite(network, sparse=False, client="web"),
        "sparse": export.to_tflite(export.fast_sparse(network), sparse=True, client="web"),
    }
    for name, artifact in files.items():
        artifact.save(args.output / f"{name}.tflite")
    x = data.x_test[: args.web_examples]
    y = data.y_test[: args.web_examples]
    enlarged = np.concatenate([batch for batch, _ in images(args, x, y, args.image, moving=False)])
    one = [enlarged[:1]]
    web_models = {name: web.WebModel(artifact.content) for name, artifact in files.items()}
    runs = {
        name: lambda model=model: statistics.median(model.times_ms(one, 20)["processor_times"])
        for name, model in web_models.items()
    }
    times = in_turns(runs, args.turns)
    return {
        "of_images": len(x),
        "keras": float(np.mean(network.predict(enlarged, verbose=0).argmax(-1) == y)),
        "litert_js": {
            name: float(np.mean(np.concatenate([model.run([image[None]])[0] for image in enlarged]).argmax(-1) == y))
            for name, model in web_models.items()
        },
        "litert": {name: export.evaluate_tflite(artifact, enlarged, y).accuracy for name, artifact in files.items()},
        "size_bytes": {name: artifact.size_bytes for name, artifact in files.items()},
        "median_ms": {name: statistics.median(values) for name, values in times.items()},
        **gain(times["dense"], times["sparse"]),
    }


def pruned_at(args, model, complexity):
    return export.prune(model, complexity, sparsity=args.sparsity, structure="pointwise")


def zeros_of_pointwise(network):
    kernels = [
        layer.kernel.numpy()
        for layer in network.layers
        if type(layer) is keras.layers.Conv2D and layer.kernel_size == (1, 1)
    ]
    return 1 - sum(map(np.count_nonzero, kernels)) / sum(kernel.size for kernel in kernels)


def recalibrated(args, network, data, side):
    x, y = data.x_train[:RECALIBRATION_EXAMPLES], data.y_train[:RECALIBRATION_EXAMPLES]
    keras.utils.set_random_seed(args.seed)
    return export.recalibrate(network, np.concatenate([batch for batch, _ in images(args, x, y, side)]))


def accuracy(args, network, x, y):
    batches = images(args, x, y, network.input_shape[1], moving=False)
    return float(np.mean(network.predict(batches, verbose=0).argmax(axis=-1) == y))


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def load(args):
    return cvhn_tf.load_model(args.output / "model.keras", compile=False)


if __name__ == "__main__":
    main()
