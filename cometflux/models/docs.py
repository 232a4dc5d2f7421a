"""Help texts for the models and their parameters, read from the docstrings of the classes."""

import ast
import inspect
import itertools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import cometflux.models.flux  # noqa: F401 - it registers the models
from cometflux.models.kinds import ParameterKind
from cometflux.models.model import MODELS, Flux, Known, parameters
from cometflux.models.schemas import ModelSchema


def slug(model: str) -> str:
    """Return a model's name without its owner."""
    return model.rpartition("/")[2]


def about(model: Known) -> str:
    """Return a model's description: the first line of its class, or its name."""
    return f"{model.model}, by its schema" if isinstance(model, ModelSchema) else (model.__doc__ or "").splitlines()[0]


def parameter_texts(model: Known) -> dict[str, str]:
    """Return the help text of each parameter: the docstring below its field, in the nearest class that has one.

    For a model with a schema: the published descriptions.
    """
    if isinstance(model, ModelSchema):
        return dict(model.texts)
    texts: dict[str, str] = {}
    for owner in (each for each in reversed(model.__mro__) if issubclass(each, Flux)):
        texts |= _texts_of_classes(owner.__module__).get(owner.__name__, {})
    return texts


@cache
def _texts_of_classes(module: str) -> Mapping[str, Mapping[str, str]]:
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        # Installed without source files. Only the help texts are missing then.
        return {}
    return {each.name: dict(_texts_in(each)) for each in tree.body if isinstance(each, ast.ClassDef)}


def _texts_in(owner: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in itertools.pairwise(owner.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)


def complete_model(_: object) -> dict[str, str]:
    """Return the models for a shell to complete, with their descriptions."""
    return {slug(name): about(model) for name, model in MODELS.items()}


def complete_choice(name: str, _: object) -> list[str]:
    """Return the values of the parameter *name* for a shell to complete, from all models that take it."""
    kinds = [kind_of(name, model) for model in all_parameters()[name]]
    return list(dict.fromkeys(word for kind in kinds for word in kind.suggestions))


def all_parameters(models: Iterable[Known] = MODELS.values()) -> dict[str, list[Known]]:
    """Return every parameter except the prompt, with the models that take it; the most common first."""
    takers: dict[str, list[Known]] = {}
    for model in models:
        for parameter in parameters(model):
            if parameter.name != "prompt":
                takers.setdefault(parameter.name, []).append(model)
    return dict(sorted(takers.items(), key=lambda item: -len(item[1])))


def kind_of(name: str, model: Known) -> ParameterKind:
    """Return the kind of a parameter of one model. For another model that takes it, only the numbers differ."""
    return next(each.kind for each in parameters(model) if each.name == name)


_MOST_NAMED = 3
_MOST_CHARACTERS = 46
# The short text ends before the numbers, which differ from model to model.
_DETAILS = re.compile(r"(?:, (?=['0-9]|any |from |as a list)|[;.](?=\s|$)).*", re.DOTALL)
_CONDITION = re.compile(r"\. (Only with [^.;]+)")
_UP_TO = re.compile(r"^Up to \d+ ")
_ASIDE = re.compile(r"\s*\([^)]*\)")


def short_text(name: str, takers: list[Known]) -> str:
    """Describe a parameter on one short line for all its models, and name the models if there is room."""
    whole = _UP_TO.sub("", _ASIDE.sub("", parameter_texts(takers[0]).get(name, "")))
    condition = _CONDITION.search(whole)
    text = whole[:1].upper() + _DETAILS.sub("", whole[1:]) + (f"; {condition[1].lower()}" if condition else "")
    if kind_of(name, takers[0]).is_list:
        text += "; repeat for several"
    named = f"{text} ({', '.join(slug(model.model).removeprefix('flux-') for model in takers)})"
    return named if len(takers) <= _MOST_NAMED and len(named) <= _MOST_CHARACTERS else text
