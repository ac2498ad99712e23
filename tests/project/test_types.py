"""The public surface has type hints, which `make types` checks, and tells type checkers so."""

import importlib.resources
import inspect

import pytest

import cvhn_tf
from cvhn_tf import callbacks, datasets, export, predictive, targets, workers


def public_functions():
    """Pairs of a name and a function or method: all that a user calls, as far as it is written here."""
    for module in (cvhn_tf, export, callbacks, datasets, predictive, targets, workers):
        names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
        for name in names:
            thing = getattr(module, name)
            if not getattr(thing, "__module__", "").startswith("cvhn_tf"):
                continue
            if inspect.isfunction(thing):
                yield name, thing
            elif inspect.isclass(thing):
                for method, function in vars(thing).items():
                    function = getattr(function, "__func__", getattr(function, "fget", function))
                    is_public = not method.startswith("_") or method == "__init__"
                    if inspect.isfunction(function) and is_public and not is_of_keras(thing, method):
                        yield f"{name}.{method}", function


def is_of_keras(owner, method):
    """Whether a method takes the place of one of Keras, whose signature it then has."""
    is_foreign = any(method in vars(base) for base in owner.__mro__[1:] if not base.__module__.startswith("cvhn_tf"))
    return is_foreign and method != "__init__"


@pytest.mark.parametrize(("name", "function"), dict(public_functions()).items(), ids=dict(public_functions()))
def test_every_argument_and_result_of_the_public_surface_has_a_type(name, function):
    signature = inspect.signature(function)
    arguments = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    untyped = [p.name for p in arguments if p.annotation is inspect.Parameter.empty]
    if signature.return_annotation is inspect.Signature.empty:
        untyped.append("return")
    assert not untyped


def test_package_says_that_it_is_typed():
    assert (importlib.resources.files("cvhn_tf") / "py.typed").is_file()
