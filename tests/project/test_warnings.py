"""Warnings that our own code raises, or has others raise, are errors in these tests; those of others are not."""

import warnings

import pytest


@pytest.mark.parametrize("category", [DeprecationWarning, FutureWarning, RuntimeWarning, UserWarning])
@pytest.mark.parametrize(
    "module", ["cvhn_tf", "cvhn_tf.layers", "cvhn_tf.export.convert", "cvhn_tf_cli", "cvhn_tf_cli.commands"]
)
def test_warning_that_our_code_is_blamed_for_is_an_error(module, category):
    def library():
        warnings.warn("deprecated", category, stacklevel=2)

    with pytest.raises(category, match="deprecated"):
        exec("library()", {"__name__": module, "library": library})


def test_warning_that_others_are_blamed_for_is_none():
    with warnings.catch_warnings(record=True) as seen:
        exec("import warnings; warnings.warn('theirs')", {"__name__": "keras.src.layers"})
    assert [str(warning.message) for warning in seen] == ["theirs"]
