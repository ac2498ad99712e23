"""Weights in integers, in a file that was made in float32, by ai-edge-quantizer."""

import importlib.util

from cvhn_tf.export.conversion.embedding_lookups import use_embedding_lookups
from cvhn_tf.export.conversion.reasons import reason_of
from cvhn_tf.export.tflite.flatbuffer import weight_types
from cvhn_tf.export.verification.quiet import native_stderr_off
from cvhn_tf.export.verification.verify import ConversionError


def is_available() -> bool:
    """Whether the package that this takes is installed."""
    return importlib.util.find_spec("ai_edge_quantizer") is not None


def quantize_by_recipe(content, name, bits) -> bytes:
    """A dense float32 file with its weights in integers, each channel with a scale of its own.

    Args:
        content: The file's bytes.
        name: Name of one of ai-edge-quantizer's recipes.
        bits: Bits of a weight by it.

    Raises:
        ConversionError: If ai-edge-quantizer fails, or leaves the weights as they were, as it does without a word
            where they are sparse or belong to operations that it does not know.
    """
    from ai_edge_quantizer import quantizer, recipe

    content = use_embedding_lookups(content, even_rows=bits < 8 and name.startswith("dynamic"))
    try:
        with native_stderr_off():  # it draws some of its progress in any case
            result = quantizer.Quantizer(bytearray(content), getattr(recipe, name)()).quantize(
                enable_progress_bar=False, enable_progress_report=False
            )
    except Exception as error:  # it names no classes of its own
        raise ConversionError(f"ai-edge-quantizer failed: {reason_of(error)}") from error
    quantized = bytes(result.quantized_model)
    if f"INT{bits}" not in weight_types(quantized):
        raise ConversionError("ai-edge-quantizer left all weights of the file as they were")
    return quantized
