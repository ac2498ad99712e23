"""What one program that runs TFLite files computes right."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

from cvhn_tf.export.tflite.encodings import ENCODINGS


@dataclasses.dataclass(frozen=True)
class Client:
    """A program that runs TFLite files, or several of them.

    Args:
        names: Names that `client` takes for it.
        title: What it is, in words.
        encodings: The quantizations that it computes right.
        causes: Quantization -> why it does not compute it, a sentence without a full stop.
        refuses: Operation, or operation and type of its output as in EXP/INT8, or CONV_2D/GROUPS -> why files that hold
            it are refused, likewise.
        lacks: Operation -> where the client lacks it though it runs such files elsewhere, likewise. EMBEDDING_LOOKUP is
            GATHER too where it looks up a table that the file holds; FIVE_AXES stands for tensors of more than four;
            CONV_2D/INT4_BEHIND for convolutions by 4-bit weights that read no input of the file; STRIDED_SLICE/STEPS
            for single steps of the first axis.
        sliced: Operations in whose place it gets slices where these do the same.
        strides: Whether it computes convolutions of one place and integer weights with strides; else a pool has them.
        sparse: None if it reads zeros in TFLite's sparse encoding; else why it does not, likewise.
        sparse_cost: So many weights of a dense kernel take the time of a sparse one that a fully connected layer reads
            by itself; None if the converter chooses which layers do.
        by_channels: Whether it reads them in float32 all the same where XNNPACK computes the file by channels.
        free_batch: Whether it takes a file whose number of examples is left open.
        resizes: Whether it can be told to run several examples at once, also by a file for one.
        free_sizes: Whether it takes inputs of other sizes that are left open.
        runtime: Oldest version of TFLite whose operations it has.
        speed: How the latency of its files is measured; None where the time on this machine says nothing about it.
    """

    names: tuple[str, ...]
    title: str
    encodings: tuple[str | None, ...]
    causes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    refuses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    lacks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    sliced: tuple[str, ...] = ()
    strides: bool = True
    sparse: str | None = None
    sparse_cost: float | None = None
    by_channels: bool = True
    free_batch: bool = True
    resizes: bool = True
    free_sizes: bool = True
    runtime: tuple[int, int] = (2, 10)
    speed: str | None = "by LiteRT on one thread of this machine"

    @property
    def name(self) -> str:
        """Its names as one text, such as `gpu` or `gpu, web`."""
        return ", ".join(self.names)

    @property
    def argument(self) -> str:
        """What errors print of it, as users give it: `'gpu'`, or `['gpu', 'web']`."""
        return repr(self.names[0] if len(self.names) == 1 else list(self.names))

    def cause_of(self, quantization: str | None) -> str:
        """Why it does not take a quantization, in words."""
        return self.causes.get(str(quantization), f"{self.title} was not seen to compute it right")

    @property
    def reads_by_channels_alone(self) -> bool:
        """Whether it reads sparse weights where XNNPACK computes a file by channels, and nowhere else."""
        return self.sparse is not None and self.by_channels


def common(title: str, clients: Sequence[Client], names: Sequence[str] | None = None) -> Client:
    """The client that takes only what all of some clients compute right.

    Args:
        title: What it is, in words.
        clients: At least one `Client`.
        names: Names that `client` takes for it; by default all of theirs.
    """
    if names is None:
        names = [name for client in clients for name in client.names]
    costs = [client.sparse_cost for client in clients if client.sparse_cost is not None]
    return Client(
        names=tuple(dict.fromkeys(names)),
        title=title,
        encodings=tuple(q for q in ENCODINGS if all(q in client.encodings for client in clients)),
        causes=_of_first(
            {str(q): client.cause_of(q) for q in ENCODINGS if q not in client.encodings} for client in clients
        ),
        refuses=_of_first(client.refuses for client in clients),
        lacks=_of_first(client.lacks for client in clients),
        sliced=tuple(dict.fromkeys(operation for client in clients for operation in client.sliced)),
        strides=all(client.strides for client in clients),
        sparse=next((client.sparse for client in clients if client.sparse is not None), None),
        sparse_cost=max(costs) if len(costs) == len(clients) else None,
        by_channels=all(client.by_channels for client in clients),
        free_batch=all(client.free_batch for client in clients),
        resizes=any(client.resizes for client in clients),
        free_sizes=all(client.free_sizes for client in clients),
        runtime=min(client.runtime for client in clients),
        speed=None if all(client.speed is None for client in clients) else Client.speed,
    )


def _of_first(mappings):
    """All of some mappings, with what the first of them has where several have a key."""
    return dict(collections.ChainMap(*mappings))
