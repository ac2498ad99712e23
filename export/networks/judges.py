"""Networks that compute for others of their architecture."""


class Judges:
    """Gives networks that take the weights of others and predict for them, so that each architecture is compiled once.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`, whose networks have one architecture, or one for each structure.
    """

    def __init__(self, model):
        self._model = model
        self._judges = {}

    def at(self, complexity):
        """A network of the architecture that the model has at a λ."""
        structure = tuple(self._model.most_probable_structure(complexity).items())
        if structure not in self._judges:
            self._judges[structure] = self._model.at(complexity)
        return self._judges[structure]
