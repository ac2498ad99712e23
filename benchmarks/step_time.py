"""Time of a training step: `fit` of the hypernetwork against Keras's own `fit` of the same target, in one run.

The two alternate, round by round, so that a noisy machine slows both. Ratios of medians are what counts.

python benchmarks/step_time.py --target lenet_300_100 --rounds 7
"""

import argparse
import json
import statistics
import time

import keras
import numpy as np
from machine import describe_machine

import cvhn_tf
from cvhn_tf import targets

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--target", choices=targets.names(), default="lenet_300_100")
parser.add_argument("--batch-size", type=int, default=256)
parser.add_argument("--steps", type=int, default=100, help="steps of a round")
parser.add_argument("--rounds", type=int, default=7)
args = parser.parse_args()

shape = (32, 32, 3) if args.target == "convnet" else (28, 28, 1)
rng = np.random.default_rng(0)
x = rng.uniform(size=(args.steps * args.batch_size, *shape)).astype("float32")
y = rng.integers(0, 10, len(x))


def compiled(model, optimizer):
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def hypernetwork(**arguments):
    target = targets.get(args.target, shape, 10)
    return compiled(cvhn_tf.VariationalHypernetwork(target, **arguments), cvhn_tf.PivotAdam())


models = {
    "keras": compiled(targets.get(args.target, shape, 10), keras.optimizers.Adam()),
    "defaults": hypernetwork(),
    "1 complexity a step": hypernetwork(complexity_samples=1),
    "4 complexities a step": hypernetwork(complexity_samples=4),
    "constant": hypernetwork(parameterization="constant", complexity_samples=1),
}
step_ms = {name: [] for name in models}
for round_ in range(args.rounds + 1):
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(x, y, batch_size=args.batch_size, verbose=0)
        if round_ > 0:  # the first one traces
            step_ms[name].append(1e3 * (time.perf_counter() - start) / args.steps)
medians = {name: statistics.median(times) for name, times in step_ms.items()}
result = {
    "target": args.target,
    "batch_size": args.batch_size,
    "step_ms": medians,
    "ratio_to_keras": {name: time_ms / medians["keras"] for name, time_ms in medians.items()},
    "machine": describe_machine(),
}
print(json.dumps(result, indent=1))
