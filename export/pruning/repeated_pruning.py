"""A hypernetwork that is asked for its posterior and networks again and again, at one complexity after another."""

import tensorflow as tf


class RepeatedPruning:
    """Stands in for a hypernetwork in `prune` and `round_weights`: the posterior of a complexity is computed once.

    A search prunes the networks of one complexity at many sparsities. Only the last posterior is kept. To make a
    network takes longer than to prune it, so those that are no longer needed get the weights of the next ones. The
    hypernetwork must not be trained meanwhile.

    ```python
    repeated = RepeatedPruning(model)
    for sparsity in sparsities:
        repeated.take_back()
        network = prune(repeated, complexity, sparsity)
    ```

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
    """

    def __init__(self, model):
        self._model = model
        self._complexity = self._posterior = None
        self._lent, self._free = [], []  # pairs of a network and what gives it its weights

    def posterior(self, complexity):
        """That of the hypernetwork."""
        if complexity != self._complexity:
            self._posterior, self._complexity = self._model.posterior(complexity), complexity
        return self._posterior

    def at(self, complexity):
        """As of the hypernetwork: a network that is the caller's until `take_back`."""
        means = {path: posterior.loc for path, posterior in self.posterior(complexity).items()}
        complexities = tf.constant([self._model.complexity_range.check(complexity)], tf.float32)
        target = self._model._target_at(complexity, None)
        network = next((network for network, other in self._free if other is target), None)
        if network is None:
            network = target.make_network(means, complexities)
        else:
            self._free = [pair for pair in self._free if pair[0] is not network]
            target.set_weights(network, means, complexities)
        self._lent.append((network, target))
        return network

    def take_back(self):
        """Lets the networks so far get other weights: nothing may read them from now on."""
        self._free += self._lent
        self._lent = []

    def __getattr__(self, name):
        return getattr(self._model, name)
