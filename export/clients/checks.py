"""What a client cannot compute, found before any work is done, and said in one sentence with what to take instead."""

from collections.abc import Sequence

from cvhn_tf.export.clients.client import Client
from cvhn_tf.export.clients.table import CLIENTS
from cvhn_tf.export.tflite.encodings import ENCODINGS


def check_client_computes(client: Client, quantization: str | None) -> None:
    """Raises a `ValueError` if the client does not compute a quantization right."""
    if quantization not in client.encodings:
        raise ValueError(
            f"Expected `quantization` to be one of {client.encodings} for client={client.argument}: "
            f"{client.cause_of(quantization)}. "
            + instead([other for other in CLIENTS.values() if quantization in other.encodings])
            + f"Received: quantization={quantization!r}"
        )


def check_client_reads(
    client: Client, quantization: str | None, sparse: bool | str, may_be_by_channels: bool = False
) -> None:
    """Raises a `ValueError` if zeros are to be stored in the sparse encoding, which the client does not read.

    Args:
        client: `Client`.
        quantization: As in `to_tflite`. Of integers LiteRT reads no sparse weights, whatever the client.
        sparse: As in `to_tflite`.
        may_be_by_channels: Whether XNNPACK might compute the file by channels, which is seen in the file.
    """
    if sparse is True and client.sparse is not None and not (client.by_channels and may_be_by_channels):
        others = () if ENCODINGS[quantization].integer_bits is not None else CLIENTS.values()
        raise ValueError(
            f"Expected `sparse` to be False or 'auto' for client={client.argument}: {client.sparse}. "
            + instead([other for other in others if other.sparse is None])
            + "Received: sparse=True"
        )


def check_client_takes(client: Client, keras_model, quantizations: Sequence[str | None]) -> None:
    """Raises a `ValueError` if sizes of a model's inputs are open that the client needs to know.

    Args:
        client: `Client`.
        keras_model: Keras model.
        quantizations: As in `to_tflite`, those that files are to be made in.
    """
    for tensor in () if client.free_sizes else keras_model.inputs:
        if None in tensor.shape[1:]:
            raise ValueError(
                f"Expected inputs of known sizes for client={client.argument}: give `keras.Input` the sizes. "
                + instead([o for o in CLIENTS.values() if o.free_sizes and set(quantizations).issubset(o.encodings)])
                + f"Received: input {tensor.name!r} of shape {tuple(tensor.shape)}"
            )


def instead(others: list[Client]) -> str:
    """A sentence on the clients that take what another does not, and a blank; nothing if there are none."""
    if not others:
        return ""
    names = " or ".join(f"client={other.argument}" for other in others)
    return f"If the file will run there only, {names} takes it. "
