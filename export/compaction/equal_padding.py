"""Zeros at the edges of a convolution: whether as many on either side give the same, as the image is or mirrored."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Window:
    """How a kernel moves along one axis.

    Args:
        size: Number of positions of the input, without zeros.
        before: Zeros in front of them.
        after: Zeros behind them.
        kernel: Number of positions that the kernel covers, odd.
        stride: Positions that it moves by.
    """

    size: int
    before: int
    after: int
    kernel: int
    stride: int

    @classmethod
    def same(cls, size: int, kernel: int, stride: int) -> "Window":
        """That of the padding `"same"`, which puts the odd zero behind."""
        zeros = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return cls(size, zeros // 2, zeros - zeros // 2, kernel, stride)

    @property
    def outputs(self) -> int:
        """Number of positions of the output."""
        return (self.size + self.before + self.after - self.kernel) // self.stride + 1

    def fits(self, mirrored: bool) -> bool:
        """Whether half a kernel of zeros on either side, `kernel // 2`, gives the same outputs.

        With stride 2 some positions behind the last output are not read. In the mirrored image they lie in front, and
        count as zeros fewer there.
        """
        unread = (self.size + self.before + self.after - self.kernel) % self.stride
        first = self.after - unread if mirrored else self.before
        equal = Window(self.size, self.kernel // 2, self.kernel // 2, self.kernel, self.stride)
        return first == equal.before and self.outputs == equal.outputs
