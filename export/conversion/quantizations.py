"""Which quantizations can be asked for, of a client and with what is installed."""

from cvhn_tf.export.clients.checks import check_client_computes
from cvhn_tf.export.conversion.weight_only import is_available
from cvhn_tf.export.tflite.encodings import ENCODINGS


def check_quantization(quantization, name="quantization"):
    """Raises a `ValueError` if there is no such quantization, and a `ModuleNotFoundError` if it takes more packages."""
    if quantization not in tuple(ENCODINGS):
        raise ValueError(
            f"Expected `{name}` from {tuple(ENCODINGS)}, where None is float32. Received: {name}={quantization!r}"
        )
    if ENCODINGS[quantization].recipe is not None and not is_available():
        raise ModuleNotFoundError(
            f"Expected the package ai-edge-quantizer for quantization={quantization!r}; "
            "it comes with cvhn-tf's extra: pip install 'cvhn-tf[quantization]'"
        )


def check_quantizations(quantizations, representative_data, client):
    """`check_quantization` of each; raises a `ValueError` if one is to be calibrated and there are no data for it.

    Args:
        quantizations: As in `to_tflite`.
        representative_data: As in `to_tflite`.
        client: `Client`, which has to compute all of them.
    """
    for quantization in quantizations:
        check_quantization(quantization, "quantizations")
        check_client_computes(client, quantization)
    for quantization in quantizations:
        if ENCODINGS[quantization].calibrated and representative_data is None:
            raise ValueError(
                f"Expected `representative_data` for quantization {quantization!r}. Received: representative_data=None"
            )


def available_quantizations(with_data, client) -> list[str | None]:
    """Those that a `Client` computes right and that can be made here.

    `"int8"` takes representative data, others the packages that make them.
    """
    return [
        name
        for name, encoding in ENCODINGS.items()
        if name in client.encodings
        and (not encoding.calibrated or with_data)
        and (encoding.recipe is None or is_available())
    ]
