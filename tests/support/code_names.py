"""The names in the code of a test: in its own, in its fixtures and values, and in the helpers that it calls."""

import functools
import inspect
import types
from pathlib import Path

import attrs

_TESTS = Path(__file__).parents[1]


def values_of(item):
    """Return the functions and the values that make up a collected test."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    fixtures = [each[-1].func for each in item._fixtureinfo.name2fixturedefs.values()]
    return [item.function, *fixtures, *values]


class Search:
    """Looks for *names* in code.

    What is called is looked at if it is a part of the tests, and not of one of the modules *without*.
    """

    def __init__(self, names, without=()):
        self._names = frozenset(names)
        self._without = without
        self._done = {}
        """What names none of them, by its id. Held here, so that no other value can get this id."""

    def first_in(self, values):
        """Return a name in functions, in the values that they hold, or in what they call; None if there is none."""
        seen, left = {}, list(values)
        while left:
            value = left.pop()
            if id(value) in self._done or id(value) in seen:
                continue
            seen[id(value)] = value
            names, parts = _look(value, self._without)
            if found := self._names.intersection(names):
                return min(found)
            left += parts
        self._done |= seen
        return None


def _look(value, without):
    """Return the names in the code of a value, and the values that it holds and uses."""
    if isinstance(value, functools.partial):
        return set(), [value.func, *value.args]
    if inspect.isbuiltin(value):
        return {value.__name__}, []
    if attrs.has(type(value)) and _is_ours(type(value), without):
        return set(), attrs.astuple(value, recurse=False)
    if inspect.isclass(value) and _is_ours(value, without):
        return set(), [*vars(value).values(), *value.__bases__]
    function = inspect.unwrap(value) if callable(value) else None
    if not inspect.isfunction(function) or not _is_ours(function, without):
        return set(), []
    names = set(_names(function.__code__))
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
    used = [function.__globals__[name] for name in names if name in function.__globals__]
    modules = [each for each in used if inspect.ismodule(each) and _is_in_the_tests(getattr(each, "__file__", None))]
    # `module.name` is two names in the code.
    within = [vars(module)[name] for module in modules for name in names if name in vars(module)]
    return names, [*cells, *used, *within]


def _is_ours(value, without):
    if value.__module__ in without:
        return False
    code = getattr(value, "__code__", None)
    file = code.co_filename if code else getattr(inspect.getmodule(value), "__file__", None)
    return _is_in_the_tests(file)


@functools.cache
def _is_in_the_tests(file):
    # A built-in module has none.
    return file is not None and Path(file).is_relative_to(_TESTS)


def _is_full(cell):
    try:
        cell.cell_contents  # noqa: B018 - whether it can be read is the question
    except ValueError:
        return False
    return True


def _names(code):
    yield from (*code.co_names, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
