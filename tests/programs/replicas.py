"""What `test_distribution.py` runs on one device, on mirrored devices and on workers: `replicas.py KIND FOLDER`.

Everything that came of it goes to files in a folder of this process's own.
"""

import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import cvhn_tf
from cvhn_tf.workers import is_chief, on_chief, worker_folder

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
from benchmarks.speed.local_workers import free_ports
from benchmarks.speed.scaling import count_bytes

KIND, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
if KIND == "workers":
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
elif KIND == "mirrored":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
else:
    strategy = tf.distribute.get_strategy()

REPLICAS = strategy.num_replicas_in_sync
rng = np.random.default_rng(0)
Y = np.arange(90) % 3
X = (rng.normal(size=(3, 8))[Y] * 2 + rng.normal(size=(90, 8))).astype("float32")
results = {}


def build(**arguments):
    keras.utils.clear_session()
    keras.utils.set_random_seed(7)
    with strategy.scope():
        target = keras.Sequential(
            [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")], name="target"
        )
        model = cvhn_tf.VariationalHypernetwork(target, **{"seed": 7, **arguments})
        model.compile(
            cvhn_tf.PivotAdam(3e-2, global_clipnorm=0.05),  # clips every step
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
    return model


def weights_of(model):
    return np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables])


def same_complexities(batch=18, shares=(12, 6)):
    """The data in an order in which each example meets the same λ whatever the number of replicas."""
    order = []
    for start in range(0, len(X), batch):
        parts = np.split(np.arange(start, start + batch), np.cumsum(shares)[:-1])
        replicas = zip(*[np.split(part, REPLICAS) for part in parts], strict=True)
        order += [index for replica in replicas for part in replica for index in part]
    return X[order], Y[order]


def steps_without_noise():
    x, y = same_complexities()
    for name in ("gated", "piecewise_linear"):
        model = build(parameterization=name, complexity_samples=2, prior="l2", estimator="deterministic", kl_warmup=0.2)
        history = model.fit(x, y, batch_size=18, epochs=3, shuffle=False, verbose=0).history
        results[f"weights {name}"] = weights_of(model)
        results[f"logs {name}"] = np.array([history[key] for key in sorted(history)])


def training_with_noise(model):
    before, folder = int(model.optimizer.iterations.numpy()), FOLDER / "checkpoints"
    early_stopping = keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=1e9, restore_best_weights=True)
    history = model.fit(
        X,
        Y,
        batch_size=16,  # the last batch has 10
        epochs=20,
        validation_data=(X[:25], Y[:25]),
        verbose=0,
        callbacks=[
            early_stopping,
            *on_chief(
                strategy,
                keras.callbacks.ModelCheckpoint(folder / "model.keras"),
                keras.callbacks.TensorBoard(folder / "logs"),
            ),
        ],
    ).history
    results["epochs before the early stop"] = np.array(len(history["loss"]))
    results["stopped weights"] = weights_of(model)
    results["logs with noise"] = np.array([history[key] for key in sorted(history)])
    if is_chief(strategy):
        # Saved with the second epoch, while the best weights are the first's.
        assert int(cvhn_tf.load_model(folder / "model.keras").optimizer.iterations) == before + 12
        assert any((folder / "logs").rglob("*tfevents*"))
    else:
        assert not folder.exists()


def figures_of_uneven_batches(model):
    results["predictions"] = model.predict(X[:41], batch_size=20, verbose=0)  # the last batch has one example
    for batch_size in (20, 15):
        logs = model.evaluate(X[:41], Y[:41], batch_size=batch_size, return_dict=True, verbose=0)
        results[f"figures of batches of {batch_size}"] = np.array([logs[key] for key in sorted(logs)])
    history = model.fit(X[:41], Y[:41], batch_size=17, epochs=1, verbose=0).history  # no batch can be shared evenly
    assert np.isfinite(history["loss"]).all()
    results["weights of uneven batches"] = weights_of(model)
    results["logs of one batch"] = np.array(model.train_on_batch(X[:6], Y[:6]))


def keras_backup(model):
    """The first epoch is that of a model trained before, the others are those of a new one."""
    folder = worker_folder(strategy, FOLDER.parent / f"backup of {KIND} {REPLICAS}")
    for epochs in (1, 3):
        model = model if epochs == 1 else build(initial_stddev=0.5)
        backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
        history = model.fit(X, Y, batch_size=18, epochs=epochs, verbose=0, callbacks=[backup]).history
    results["epochs after the backup"] = np.array(len(history["loss"]))
    results["steps after the backup"] = model.optimizer.iterations.numpy()


def refusals():
    for arguments in ({"steps_per_execution": 2}, {"jit_compile": True}):
        model = build()
        with strategy.scope():
            model.compile("adam", "sparse_categorical_crossentropy", **arguments)
        for call in (model.fit, model.evaluate, lambda x, y, model=model, **options: model.predict(x, **options)):
            try:
                call(X, Y, batch_size=18, verbose=0)
            except ValueError as error:
                assert next(iter(arguments)) in str(error), error
            else:
                raise AssertionError(f"not refused: {arguments}")
    model = build()
    with strategy.scope():
        model.compile(keras.optimizers.Adam(gradient_accumulation_steps=2), "sparse_categorical_crossentropy")
    try:
        model.fit(X, Y, batch_size=18, verbose=0)
    except ValueError as error:
        assert "gradient_accumulation_steps=2" in str(error), error
    else:
        raise AssertionError("not refused: gradient_accumulation_steps")


def messages():
    for name, samples in (("gated", 4), ("piecewise_linear", 1)):
        model = build(parameterization=name, complexity_samples=samples, train_size=90)
        with strategy.scope():
            model.optimizer.build(model.trainable_variables)
        results[f"bytes {name}"] = np.array(count_bytes(strategy, model.train_step, (X[:4], Y[:4])))
        results[f"parameters {name}"] = np.array(len(weights_of(model)))


def outputs_of_two_replicas(**arguments):
    """What each replica gives for one batch in training, once the outputs depend on λ."""
    with strategy.scope():
        target = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3, "softmax")])
        model = cvhn_tf.VariationalHypernetwork(target, train_size=16, **arguments)
        model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).normal(size=(16, 4)).astype("float32"), np.arange(16) % 3
    model.fit(np.tile(x, (30, 1)), np.tile(y, 30), batch_size=8, verbose=0)
    assert int(model._step.numpy()) == 60
    run = tf.function(lambda: strategy.run(lambda: model(tf.constant(x), training=True)))
    return np.array([output.numpy() for output in strategy.experimental_local_results(run())])


def parameter_server_is_refused():
    worker, server = (f"localhost:{port}" for port in free_ports(2))
    cluster = tf.train.ClusterSpec({"worker": [worker], "ps": [server]})
    servers = [tf.distribute.Server(cluster, job_name=job, task_index=0) for job in cluster.jobs]
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, rpc_layer="grpc")
    with tf.distribute.ParameterServerStrategy(resolver).scope():
        target = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
        model = cvhn_tf.VariationalHypernetwork(target)
        model.compile("adam", "mse")
    try:
        model.fit(X, Y, verbose=0)
    except ValueError as error:
        assert "ParameterServerStrategy" in str(error)
    else:
        raise AssertionError(f"not refused, with {servers}")


steps_without_noise()
noisy = build(initial_stddev=0.5, train_size=90)  # one for all that follows, since to trace it takes longest
figures_of_uneven_batches(noisy)
if REPLICAS < 3:
    training_with_noise(noisy)
    keras_backup(noisy)
results["seed"] = np.array(build(seed=None).seed)
if REPLICAS == 2:
    refusals()
if KIND == "workers" and REPLICAS == 2:
    messages()
if KIND == "mirrored":
    results["outputs with noise"] = outputs_of_two_replicas(initial_stddev=0.5)
    results["outputs without noise"] = outputs_of_two_replicas(prior="l2", estimator="deterministic")
FOLDER.mkdir(parents=True, exist_ok=True)
np.savez(FOLDER / "results.npz", **results)
(FOLDER / "replicas.json").write_text(json.dumps(REPLICAS))
if KIND == "one":
    parameter_server_is_refused()
