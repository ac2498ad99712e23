"""The smallest packed file of an accuracy in one hypernetwork: chosen on half of the test images, measured on all.

python -m benchmarks.accuracy.mnist --target lenet_5_caffe --output build/caffe
python -m benchmarks.accuracy.packing build/caffe/model.keras --min-accuracy 0.99 --sparsities 0.99
"""

import argparse
import json
import pathlib

import numpy as np

import cvhn_tf
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--dataset", default="mnist")
parser.add_argument("--min-accuracy", type=float, default=0.981)
parser.add_argument("--complexities", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.5, 1.0])
parser.add_argument("--sparsities", type=float, nargs="+", default=[0.95])
parser.add_argument("--steps", type=float, nargs="+", default=[2.0, 3.0])
parser.add_argument("--rate-weights", type=float, nargs="+", default=[0.15, 0.3, 0.6])
parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/packing/summary.json"))
args = parser.parse_args()
args.output.parent.mkdir(parents=True, exist_ok=True)

model = cvhn_tf.load_model(args.model)
data = datasets.load(args.dataset)
tried = []


def note(complexity, sparsity, step, rate_weight, accuracy, code_bytes):
    tried.append([complexity, sparsity, step, rate_weight, accuracy, code_bytes])
    print(*tried[-1], flush=True)


packed = export.smallest_packed(
    model,
    (data.x_test[::2], data.y_test[::2]),
    args.min_accuracy,
    complexities=args.complexities,
    sparsities=args.sparsities,
    steps=args.steps,
    rate_weights=args.rate_weights,
    progress=note,
)
if packed is None:
    raise SystemExit(f"None of {len(tried)} networks reaches {args.min_accuracy}.")
predicted = export.unpack(packed).predict(data.x_test, batch_size=1000, verbose=0).argmax(1) == data.y_test
result = {
    "size_bytes": packed.size_bytes,
    "weights_bytes": packed.weights_bytes,
    "accuracy_all": float(np.mean(predicted)),
    "accuracy_chosen_on": float(np.mean(predicted[::2])),
    "accuracy_others": float(np.mean(predicted[1::2])),
    "tried": tried,
    "arguments": {key: value for key, value in vars(args).items() if key not in ("model", "output")},
    "machine": describe_machine(),
}
args.output.write_text(json.dumps(result, indent=1) + "\n")
print(json.dumps({key: value for key, value in result.items() if key != "tried"}, indent=1))
