"""Which layers of a target are used, with which probability, given the probabilities of its choices.

A layer is used if an output of the network reads it along the paths that are chosen. The walk goes from the outputs to
the inputs, one call of a layer after the other. What it keeps are *states*, the sets of calls that are read and not yet
visited, each with its probability; a choice splits a state, and equal states join again. So probabilities are exact,
for layers that several candidates share and for choices within choices too, and the work is that of the number of
paths that lie side by side, not of the number of structures.
"""

import dataclasses

import keras

from cvhn_tf.structure.choices import OptionalPaths, is_choice

# A fabric of 12 scales has 2^12 of them.
_MOST_STATES = 5000


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a layer within a target, nested models taken apart.

    Args:
        layer: Index of the layer in `Usage.layers`.
        reads: Indices of the calls whose outputs it reads, in the order of its inputs.
        inputs: `keras.KerasTensor`s that the layer is called with.
        outputs: `keras.KerasTensor`s that it gives.
        choice: Index in `Usage.choices`, if it is one.
    """

    layer: int
    reads: tuple[int, ...]
    inputs: list
    outputs: list
    choice: int | None = None


class Usage:
    """The calls of a target's layers, and with which probability each is used.

    Args:
        target: Built functional or Sequential model, possibly with nested ones.

    Attributes:
        layers: The layers that are called, each once.
        calls: List of `Call`, each after those that it reads.
        choices: The `Choice` and `OptionalPaths` layers among them, in the order of their first calls.
        sizes: Number of paths of each choice.
        places: Index in `layers`, by a layer's id.
        described: Indices in `layers` of those that have a posterior, in the order of the graph's KLs.

    Raises:
        ValueError: If choices share a name, one takes no part in the outputs, or too many paths lie side by side.
    """

    def __init__(self, target: keras.Model) -> None:
        self.layers: list = []
        self.calls: list[Call] = []
        self.choices: list = []
        self.sizes: list[int] = []
        self.places: dict[int, int] = {}
        self.described: list[int] = []
        inputs = [self._add(tensor, (), [], [tensor]) for tensor in target.inputs]
        self._outputs = frozenset(self._follow(target, inputs))
        times = [0] * len(self.layers)
        for call in self.calls:
            times[call.layer] += 1
        self._is_repeated = [count > 1 for count in times]
        self._first_call = {call.layer: i for i, call in reversed(list(enumerate(self.calls)))}
        self._check()

    def _follow(self, model, inputs):
        """Adds the calls within a model that reads `inputs`, and gives the indices of those that make its outputs."""
        made = dict(zip(map(id, model.inputs), inputs, strict=True))
        for node in nodes_of(model):
            reads = tuple(made[id(tensor)] for tensor in node.input_tensors)
            if is_graph(node.operation):
                places = self._follow(node.operation, reads)
            else:
                place = self._add(node.operation, reads, node.input_tensors, node.output_tensors)
                places = [place] * len(node.output_tensors)
            made.update(zip(map(id, node.output_tensors), places, strict=True))
        return [made[id(tensor)] for tensor in model.outputs]

    def _add(self, layer, reads, inputs, outputs):
        place = self.places.get(id(layer))
        if place is None:
            place = self.places[id(layer)] = len(self.layers)
            self.layers.append(layer)
            if is_choice(layer):
                self.choices.append(layer)
                self.sizes.append(len(reads))
        choice = next((i for i, other in enumerate(self.choices) if other is layer), None)
        self.calls.append(Call(place, reads, inputs, outputs, choice))
        return len(self.calls) - 1

    def _check(self):
        names = [choice.name for choice in self.choices]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"Expected each choice in `target` to have a name of its own. Received: several named '{twice}'"
            )
        of_layers, _ = self.probabilities([[0.5] * size for size in self.sizes])
        unused = [choice.name for choice in self.choices if of_layers[self.places[id(choice)]] == 0]
        if unused:
            raise ValueError(
                "Expected each choice in `target` to take part in its outputs. "
                f"Received: '{unused[0]}', which no output reads"
            )

    def first_path(self, choice) -> int:
        """Index of a choice's first path among those of all choices."""
        return sum(self.sizes[: next(i for i, other in enumerate(self.choices) if other is choice)])

    def outside_a_hypernetwork(self) -> list[float]:
        """What choices weigh their paths by as plain Keras layers: alike, to the average or to the sum."""
        pairs = zip(self.choices, self.sizes, strict=True)
        weights = [(1.0 if isinstance(choice, OptionalPaths) else 1 / size, size) for choice, size in pairs]
        return [weight for weight, size in weights for _ in range(size)]

    def probabilities(self, of_paths):
        """With which probability layers and calls are used.

        Args:
            of_paths: For each choice the probabilities of its paths, a sequence of numbers or of tensors of one shape:
                of a `Choice` they sum to one, of `OptionalPaths` each is by itself.

        Returns:
            Probabilities of `layers` and those of `calls`, two lists of such numbers or tensors.

        Raises:
            ValueError: If too many paths lie side by side.
        """
        of_calls = [0.0] * len(self.calls)
        of_layers = [0.0] * len(self.layers)
        states = {(self._outputs, frozenset()): 1.0}
        for place in reversed(range(len(self.calls))):
            call, after = self.calls[place], {}
            for (pending, memory), probability in states.items():
                ways = [(pending, memory, probability)]
                if place in pending:
                    of_calls[place] += probability
                    if call.layer not in memory:
                        of_layers[call.layer] += probability
                    ways = self._ways(call, pending - {place}, memory, probability, of_paths)
                for left, known, share in ways:
                    if place == self._first_call[call.layer]:  # nothing asks for it any more
                        known = frozenset(item for item in known if _layer_of(item) != call.layer)
                    key = (left, known)
                    after[key] = after[key] + share if key in after else share
            states = after
            if len(states) > _MOST_STATES:
                raise ValueError(
                    "Expected a `target` with few paths side by side, to tell with which probability each is used. "
                    f"Received: more than {_MOST_STATES:,} combinations of them at layer "
                    f"'{self.layers[call.layer].name}'"
                )
        return of_layers, of_calls

    def _ways(self, call, pending, memory, probability, of_paths):
        """What may be read next: (calls that are read, what is known of repeated layers, probability) of each way."""
        repeated = self._is_repeated[call.layer]
        if repeated:
            memory = memory | {call.layer}
        if call.choice is None:
            return [(pending | set(call.reads), memory, probability)]
        shares = of_paths[call.choice]
        made = [item for item in memory if isinstance(item, tuple) and item[0] == call.layer]
        if made:  # at another call of the same layer
            chosen = {path for _, path in made if path is not None}
            return [(pending | {call.reads[path] for path in chosen}, memory, probability)]

        def way(paths, share):
            read = pending | {call.reads[path] for path in paths}
            known = memory | {(call.layer, path) for path in (*paths, None)} if repeated else memory
            return read, known, share

        if not isinstance(self.choices[call.choice], OptionalPaths):
            return [way([path], probability * share) for path, share in enumerate(shares) if not _is_never(share)]
        subsets = [([], probability)]
        for path, share in enumerate(shares):
            subsets = [
                (paths + extra, mass * factor)
                for paths, mass in subsets
                for extra, factor in (([path], share), ([], 1 - share))
                if not _is_never(factor)
            ]
        return [way(paths, mass) for paths, mass in subsets]


def is_graph(layer) -> bool:
    """Whether it is a model whose layers compute all that it does. One with a `call` of its own is one layer."""
    return isinstance(layer, keras.Sequential | keras.Function) and type(layer).call.__module__.startswith("keras.")


def _is_never(share):
    """Whether it is the number zero: a way that need not be gone."""
    return isinstance(share, float | int) and share == 0


def _layer_of(item):
    return item[0] if isinstance(item, tuple) else item


def nodes_of(model: keras.Model) -> list:
    """Keras's nodes of a functional or Sequential model, each a call of a layer, after those that it reads."""
    nodes = (model._functional if isinstance(model, keras.Sequential) else model)._nodes_by_depth
    return [node for depth in sorted(nodes, reverse=True) for node in nodes[depth] if not node.is_input]
