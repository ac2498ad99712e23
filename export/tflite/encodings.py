"""The encodings that a TFLite file can have, one row each: all that the stages of the export ask of them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How a file holds the weights of a network.

    Args:
        bits: Bits of a weight of a kernel: floats from 16 bits on, integers below.
        tolerance: Share of the outputs' root mean square that their difference from the Keras model's may reach. Real
            differences are far below it; those of a wrong file are far above.
        recipe: Name of the recipe of ai-edge-quantizer that makes the file out of the one in float32. Without it,
            TensorFlow's converter makes the file.
        calibrated: Whether activations become integers too, whose ranges are measured on representative data.
        least_numbers: Kernels of fewer numbers stay in float32.
        advice: What to do where the outputs differ too much, a sentence without a full stop.
        instead: Quantizations to take where they still do.
    """

    bits: int
    tolerance: float
    recipe: str | None = None
    calibrated: bool = False
    least_numbers: int = 0
    advice: str = ""
    instead: tuple[str, ...] = ()

    def alternatives(self, encodings) -> str:
        """What to take in its place of the quantizations that a client computes, the end of a sentence."""
        names = [repr(name) for name in self.instead if name in encodings]
        return f", or take {' or '.join(names)}" if names else ""

    @property
    def integer_bits(self) -> int | None:
        """Bits of the integers that kernels become; None if they stay floats, which may be stored sparsely."""
        return self.bits if self.bits < 16 else None

    @property
    def weight_bytes(self) -> float:
        """Bytes of a weight of a kernel."""
        return self.bits // 8 if self.bits >= 8 else self.bits / 8

    @property
    def vector_bytes(self) -> int:
        """Bytes of a number of a bias, which no encoding makes an integer of fewer than 32 bits."""
        return 2 if self.bits == 16 else 4


ENCODINGS: dict[str | None, Encoding] = {
    None: Encoding(bits=32, tolerance=1e-3),
    "float16": Encoding(bits=16, tolerance=2e-2),
    "dynamic_range": Encoding(
        bits=8,
        tolerance=0.25,
        least_numbers=1024,
        advice="Train the network before it is converted",
        instead=("weight_only_int8", "float16"),
    ),
    "int8": Encoding(
        bits=8,
        tolerance=0.35,
        calibrated=True,
        advice="Train the network before it is converted, give more `representative_data` or train with "
        "`quantization_aware`",
        instead=("weight_only_int8", "float16"),
    ),
    "weight_only_int8": Encoding(
        bits=8,
        tolerance=0.1,
        recipe="weight_only_wi8_afp32",
        advice="Train the network before it is converted",
        instead=("float16",),
    ),
    "weight_only_int4": Encoding(
        bits=4,
        tolerance=0.5,
        recipe="weight_only_wi4_afp32",
        advice="Train the network before it is converted, round its weights by `round_weights` with `bits=4`",
        instead=("weight_only_int8",),
    ),
    "dynamic_int4": Encoding(
        bits=4,
        tolerance=0.5,
        recipe="dynamic_wi4_afp32",
        advice="Train the network before it is converted, round its weights by `round_weights` with `bits=4`",
        instead=("dynamic_range",),
    ),
}
"""By the names that `to_tflite` takes; None is float32."""
