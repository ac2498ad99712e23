"""A hypernetwork that is asked for its posterior again and again, at one complexity after another."""


class RepeatedPruning:
    """Stands in for a hypernetwork in `prune` and `round_weights`, and computes the posterior of a complexity once.

    A search prunes the networks of one complexity at many sparsities. Only the last posterior is kept. The
    hypernetwork must not be trained meanwhile.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
    """

    def __init__(self, model):
        self._model = model
        self._complexity = self._posterior = None

    def posterior(self, complexity):
        """That of the hypernetwork."""
        if complexity != self._complexity:
            self._posterior, self._complexity = self._model.posterior(complexity), complexity
        return self._posterior

    def at(self, complexity):
        """That of the hypernetwork: a new network at each call, since `prune` changes it."""
        means = {path: posterior.loc for path, posterior in self.posterior(complexity).items()}
        return self._model._target.make_network(means)

    def __getattr__(self, name):
        return getattr(self._model, name)
