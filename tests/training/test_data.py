import keras
import numpy as np
import pytest
import tensorflow as tf

from cvhn_tf.training.data import TrainingData

X, Y = np.zeros((70, 8), "float32"), np.zeros(70)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        return X[index * 10 : index * 10 + 10], Y[index * 10 : index * 10 + 10]


def batches_without_length():
    while True:
        yield X[:10], Y[:10]


DATASET = tf.data.Dataset.from_tensor_slices((X, Y))


@pytest.mark.parametrize(
    "x, arguments, examples, batches",
    [
        (X, {}, 70, 3),
        (X, {"batch_size": 20}, 70, 4),
        (X, {"validation_split": 0.1, "batch_size": 9}, 63, 7),
        ([X, X], {}, 70, 3),
        ({"a": X, "b": X}, {}, 70, 3),
        (tf.constant(X), {}, 70, 3),
        (DATASET.batch(10), {}, 70, 7),
        (DATASET.shuffle(70).batch(10, drop_remainder=True).prefetch(1), {}, 70, 7),
        (Batches(), {}, 70, 7),
    ],
)
def test_sizes_are_read_off_the_data(x, arguments, examples, batches):
    data = TrainingData(x, Y, **{"batch_size": None, "validation_split": 0.0, "steps_per_epoch": None, **arguments})
    assert data.count_examples() == examples
    assert data.count_batches() == batches


def test_fit_takes_the_train_size_from_arrays_and_datasets(compiled):
    model = compiled()
    model.fit(X, Y, epochs=1, verbose=0)
    assert model._train_size.numpy() == 70
    model.fit(DATASET.take(40).batch(10), epochs=1, verbose=0)
    assert model._train_size.numpy() == 40


@pytest.mark.parametrize("x", [batches_without_length(), DATASET.batch(10).repeat()], ids=["generator", "repeated"])
def test_unknown_train_size_is_refused_before_the_first_step(compiled, x):
    model = compiled()
    with pytest.raises(ValueError, match="Expected `train_size`"):
        model.fit(x, steps_per_epoch=2, verbose=0)
    assert model._step.numpy() == 0
    with pytest.raises(ValueError, match="`train_size`"):
        model.train_on_batch(X[:4], Y[:4])


def test_unknown_length_works_with_what_the_error_asks_for(compiled):
    model = compiled(train_size=70)
    with pytest.raises(ValueError, match="`steps_per_epoch`"):
        model.fit(batches_without_length(), verbose=0)
    model.fit(batches_without_length(), steps_per_epoch=2, verbose=0)
    assert model._step.numpy() == 2 and model._train_size.numpy() == 70


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_data_that_is_not_finite_is_refused_before_the_first_step(compiled, value):
    x = X.copy()
    x[3, 4] = value
    model = compiled()
    with pytest.raises(ValueError, match=r"Expected `x` to be finite\. Received: x with 1"):
        model.fit(x, Y, verbose=0)
    assert model._step.numpy() == 0


def test_empty_data_is_refused(compiled):
    with pytest.raises(ValueError, match="at least one example"):
        compiled().fit(X[:0], Y[:0], verbose=0)


def test_worker_with_data_of_its_own_does_not_know_their_number():
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    dataset = DATASET.batch(10).with_options(options)
    arguments = {"batch_size": None, "validation_split": 0.0, "steps_per_epoch": None}
    assert TrainingData(dataset, None, **arguments).count_examples() == 70
    with pytest.raises(ValueError, match=r"train_size(.|\n)*OFF"):
        TrainingData(dataset, None, **arguments, workers=2).count_examples()
    assert TrainingData(DATASET.batch(10), None, **arguments, workers=2).count_examples() == 70
