"""What rounding by the posterior gains over the converters' own: accuracy, bytes and gzip bytes of every encoding.

Each network is pruned, compacted and written twice in each encoding: with its weights as they are, which the converters
round by the largest of each channel, and with the weights that `export.round_weights` made. Files are run by LiteRT.

python -m benchmarks.accuracy.encodings model.keras --dataset mnist
"""

import argparse
import csv
import json
import pathlib

import cvhn_tf
from benchmarks.machine import describe_machine
from cvhn_tf import datasets, export
from cvhn_tf.export.tflite.encodings import ENCODINGS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a .keras file of a VariationalHypernetwork")
    parser.add_argument("--dataset", default="mnist", choices=datasets.names())
    parser.add_argument("--networks", nargs="+", default=["0.1:0", "0.1:0.9", "1:0.95", "1:0.98"], help="λ:sparsity")
    parser.add_argument("--steps", type=float, nargs="+", default=[0.5, 1.0, 2.0], help="in posterior stddevs")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmarks/results/encodings"))
    args = parser.parse_args()
    data = datasets.load(args.dataset)
    model = cvhn_tf.load_model(args.model, compile=False)
    rows = []
    for name in args.networks:
        complexity, sparsity = map(float, name.split(":"))
        networks = {("converter", None): {8: export.prune(model, complexity, sparsity)}}
        networks[("converter", None)][4] = networks[("converter", None)][8]
        for step in args.steps:
            networks[("posterior", step)] = {
                bits: export.round_weights(model, complexity, sparsity, bits=bits, step=step) for bits in (8, 4)
            }
        for (rounding, step), by_bits in networks.items():
            compacted = {bits: export.compact(network) for bits, network in by_bits.items()}
            for quantization, encoding in ENCODINGS.items():
                network = compacted[encoding.integer_bits or 8]
                rows.append(
                    {
                        "complexity": complexity,
                        "sparsity": sparsity,
                        "encoding": quantization or "float32",
                        "rounding": rounding,
                        "step": step,
                        **measure(network, quantization, data),
                    }
                )
                print(*rows[-1].values(), flush=True)
    args.output.mkdir(parents=True, exist_ok=True)
    with open(args.output / "table.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    arguments = {key: value for key, value in vars(args).items() if key not in ("model", "output")}
    summary = {"machine": describe_machine(), "arguments": arguments}
    (args.output / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")


def measure(network, quantization, data):
    artifact = export.to_tflite(network, quantization, representative_data=data.x_train[:256], client="cpu")
    return {
        "sparse": artifact.sparse,
        "accuracy": export.evaluate_tflite(artifact, data.x_test, data.y_test).accuracy,
        "size_bytes": artifact.size_bytes,
        "gzip_bytes": artifact.gzip_bytes,
    }


if __name__ == "__main__":
    main()
