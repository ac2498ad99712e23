"""What users say of the search for a structure, checked before any work."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cvhn_tf.checks.arguments import check_positive, is_finite_number
from cvhn_tf.structure.costs import COSTS

PATHS = ("all", "one")


@dataclasses.dataclass
class StructureArguments:
    """Arguments of `VariationalHypernetwork` that only targets with choices have; None stands for the default.

    Args:
        structure_cost: `"multiply_adds"`, `"parameters"`, or a dict of costs. By default `"multiply_adds"`.
        price: Nats for each training example that all paths together cost at λ = 1. By default 0.05.
        budget: Cost below which nothing is paid, in the unit of `structure_cost`; by default 0.
        temperature: Pair of the temperatures in nats of the first and of the last step. By default (0.3, 0.001).
        paths: `"all"` or `"one"`. By default `"all"`.
    """

    structure_cost: str | Mapping[str, float] | None = None
    price: float | None = None
    budget: float | None = None
    temperature: Any = None
    paths: str | None = None

    def __post_init__(self):
        if self.structure_cost is not None:
            self.structure_cost = _check_structure_cost(self.structure_cost)
        for name in ("price", "budget"):
            value = getattr(self, name)
            if value is not None and (not is_finite_number(value) or value < 0):
                raise ValueError(f"Expected `{name}` to be a number of 0 or more. Received: {name}={value!r}")
        if self.temperature is not None:
            self.temperature = _check_temperature(self.temperature)
        if self.paths is not None and self.paths not in PATHS:
            raise ValueError(f"Expected `paths` to be one of {list(PATHS)}. Received: paths={self.paths!r}")

    def check_none_given(self):
        """Raises a `ValueError` if an argument is given though the target has no choices."""
        for name, value in self.get_config().items():
            raise ValueError(
                f"Expected a `target` with `Choice` or `OptionalPaths` layers, to which `{name}` applies. "
                f"Received: {name}={value!r} and a target without choices"
            )

    def with_defaults(self, complexity_samples: int) -> "StructureArguments":
        """The arguments for a target that has choices.

        Args:
            complexity_samples: Number of complexities per training step.

        Raises:
            ValueError: If there are several, and `paths="one"`.
        """
        if self.paths == "one" and complexity_samples > 1:
            raise ValueError(
                "Expected `complexity_samples=1` with `paths='one'`, which judges a structure by the loss of its step. "
                f"Received: complexity_samples={complexity_samples}"
            )
        defaults = StructureArguments("multiply_adds", price=0.05, budget=0.0, temperature=(0.3, 0.001), paths="all")
        return dataclasses.replace(defaults, **self.get_config())

    def get_config(self) -> dict:
        """Plain dict of what was given."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


def _check_structure_cost(structure_cost):
    if isinstance(structure_cost, str) and structure_cost in COSTS:
        return structure_cost
    if isinstance(structure_cost, Mapping) and all(
        isinstance(name, str) and is_finite_number(value) and value >= 0 for name, value in structure_cost.items()
    ):
        return {name: float(value) for name, value in structure_cost.items()}
    raise ValueError(
        f"Expected `structure_cost` to be one of {list(COSTS)}, or a dict from the name of each layer to what a call "
        f"of it costs, a number of 0 or more. Received: structure_cost={structure_cost!r}"
    )


def _check_temperature(temperature):
    if not isinstance(temperature, Sequence) or isinstance(temperature, str) or len(temperature) != 2:
        raise ValueError(
            "Expected `temperature` to be a pair, of the first and of the last step. "
            f"Received: temperature={temperature!r}"
        )
    first, last = (check_positive("temperature", value) for value in temperature)
    if first < last:
        raise ValueError(f"Expected `temperature` to fall. Received: temperature={tuple(temperature)!r}")
    return first, last
