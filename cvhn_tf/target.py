"""What is left of a target network once its weights are drawn from a posterior: where each weight comes from."""

import dataclasses
import math

from cvhn_tf.architecture import finalize_normalization, make_again, make_network, with_frozen
from cvhn_tf.checks.arrays import flatten_inputs
from cvhn_tf.layers.batch_normalization import MovingStatistic
from cvhn_tf.structure.decide import decide


@dataclasses.dataclass(frozen=True)
class Target:
    """What is left of the target network once its weights are drawn from a posterior.

    A plain object, so that Keras does not track what it refers to a second time.

    Args:
        config: Serialised target.
        input_names: Names of the inputs, in the structure of the target's inputs.
        output_names: Names of the layers that make the outputs; None for a Sequential model.
        paths: Path of each variable of a network made from `config`, in its order of `variables`, as by `by_path`.
        sources: For each of these variables where its value comes from: a pair of a `Variational` layer and the
            index of the weight in its posteriors, the variable of a deterministic layer, or a `MovingStatistic`.
        described: The `Variational` layers in the order of the graph's KLs.
    """

    config: dict
    input_names: object
    output_names: list | None
    paths: list
    sources: list
    described: list

    def flatten_inputs(self, inputs):
        """The list of input tensors, from a structure like the target's or a dict keyed by input names."""
        return flatten_inputs(inputs, self.input_names)

    def layers(self):
        """The `Variational` layers, each once."""
        return list({id(source[0]): source[0] for source in self.sources if isinstance(source, tuple)}.values())

    def of_each_weight(self, values_of_layer):
        """Maps the path of each weight that has a posterior to its entry in `values_of_layer(layer)`."""
        of_layer = {id(layer): values_of_layer(layer) for layer in self.layers()}
        return {
            path: of_layer[id(source[0])][source[1]]
            for path, source in zip(self.paths, self.sources, strict=True)
            if isinstance(source, tuple)
        }

    def make_network(self, drawn, complexities):
        """A new plain Keras model of the target's architecture.

        Args:
            drawn: Dict from the path of each weight that has a posterior to its value.
            complexities: Tensor of shape (1,), the λ of the network.
        """
        network = make_network(self.config)
        for variable, path in zip(network.variables, self.paths, strict=True):
            variable._path = path  # layers without names of their own have others in each network
        self.set_weights(network, drawn, complexities)
        finalize_normalization(network)
        return network

    def set_weights(self, network, drawn, complexities):
        """Gives one that `make_network` made other weights; arguments as there."""
        for variable, path, source in zip(network.variables, self.paths, self.sources, strict=True):
            if isinstance(source, tuple):
                source = drawn[path]
            elif isinstance(source, MovingStatistic):
                source = source.at(complexities)
            variable.assign(source)

    def decided(self, paths):
        """The `Target` of one structure: without choices, and without the weights of what is not chosen.

        Args:
            paths: Maps the name of each choice to the indices of the paths that are there.
        """
        network = make_network(self.config)
        places = {id(variable): i for i, variable in enumerate(network.variables)}
        network = decide(network, paths)
        config, again = make_again(network)
        config = with_frozen(config, again, network)
        left = [places[id(variable)] for variable in network.variables]
        return dataclasses.replace(
            self, config=config, paths=[self.paths[i] for i in left], sources=[self.sources[i] for i in left]
        )

    def describe_parameters(self, graph, parameterization, pretrained) -> str:
        """Lines for the end of a summary: how large the target is, and the hypernetwork that gives its weights.

        Args:
            graph: The variational graph.
            parameterization: `cvhn_tf.parameterizations.Parameterization` of its layers.
            pretrained: Whether the target's weights were trained.
        """
        weights = {id(weight) for weight in graph.weights}
        drawn = sum(math.prod(weight.shape) for layer in self.layers() for weight in layer.replaced_weights())
        averages = [
            source.layer.moving_mean if isinstance(source, MovingStatistic) else source for source in self.sources
        ]
        deterministic = sum(
            math.prod(source.shape)
            for source in averages
            if id(source) in weights  # and not the state of a dropout's seed
        )
        # By identity: layers may share variables.
        trained = {
            id(variable): math.prod(variable.shape) for layer in self.layers() for variable in layer.trainable_variables
        }
        parameters = sum(trained.values())
        return (
            f" Target '{graph.name}': {drawn + deterministic:,} parameters, {drawn:,} of them with a posterior\n"
            f" Hypernetwork {type(parameterization).__name__}: {parameters:,} parameters, "
            f"{parameters / drawn:.1f} for each weight with a posterior"
            + ("\n Pretrained: starts from the target's weights, with noise relative to them" if pretrained else "")
        )
