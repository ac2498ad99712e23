"""The best file for each budget of a phone app: bytes of the download, and milliseconds of a classification.

python examples/phone_budget.py model.keras --dataset mnist --kilobytes 10 20 50 100

The model is what `cvhn-tf train` or `examples/multi_gpu.py` wrote. Without one, a small network is trained on
scikit-learn's digits first. App packages are compressed, so the size that counts is that after gzip.
"""

import argparse
import pathlib

import cvhn_tf
from cvhn_tf import datasets, export, targets

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=pathlib.Path, nargs="?", default=None)
parser.add_argument("--dataset", default="digits", choices=datasets.names(), help="what the files are measured on")
parser.add_argument("--epochs", type=int, default=60, help="of the training on the digits, where there is no model")
parser.add_argument("--kilobytes", type=float, nargs="+", default=[3, 5, 10, 20], metavar="KB", help="budgets")
parser.add_argument("--milliseconds", type=float, default=None, metavar="MS", help="longest time, on this machine")
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("phone"), help="folder for the files")
args = parser.parse_args()

images = datasets.load(args.dataset)
if args.model is not None:
    model = cvhn_tf.load_model(args.model, compile=False)
else:
    target = targets.lenet_300_100(images.input_shape, images.num_classes)
    model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.01, 10.0))
    total_steps = args.epochs * -(-len(images.x_train) // 64)
    model.compile(cvhn_tf.default_optimizer(total_steps), loss="sparse_categorical_crossentropy")
    model.fit(images.x_train, images.y_train, batch_size=64, epochs=args.epochs, verbose=0)

comparison = export.compare(
    model,
    (images.x_test, images.y_test),
    complexities=model.complexity_range.grid(3),
    sparsities=(0.9, 0.95, 0.98, 0.99),
    representative_data=images.x_train[:1000],  # for targets with batch normalization
    client="cpu",  # the phone's, which reads sparse files
    progress=lambda done, total, _: print(f"\r{done} of {total} files measured", end="", flush=True),
)
print()
args.output.mkdir(parents=True, exist_ok=True)
for budget in args.kilobytes:
    fitting = [
        row
        for row in comparison.rows
        if row.gzip_bytes <= 1000 * budget and (args.milliseconds is None or row.latency_ms <= args.milliseconds)
    ]
    if not fitting:
        print(f"{budget:g} kB: no file fits")
        continue
    row = max(fitting, key=lambda row: (row.accuracy, -row.gzip_bytes))
    path = args.output / f"{budget:g}kB.tflite"
    comparison.artifact_of(row).save(path)
    print(
        f"{budget:g} kB: {path} has {row.gzip_bytes:,} bytes after gzip, {row.accuracy:.2%}, {row.latency_ms:.3f} ms "
        f"(complexity {row.complexity:.3g}, sparsity {row.sparsity:g}, {row.quantization or 'float32'})"
    )
