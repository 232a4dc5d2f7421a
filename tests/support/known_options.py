"""Let the command describe its options once in a process, and check their values as a command does.

It describes them for each command line. In the test process these are thousands, and the description takes longer than
most tests. The test process has pydantic, too, which no command imports, and Cyclopts checks each value with it then.
"""

import copy
import types

from cyclopts import App
from cyclopts.argument import Argument, ArgumentCollection, _argument

_describe = App.assemble_argument_collection
_known = {}
_find_negatives = Argument.negatives.fget
_known_negatives = {}


def _assemble(app, **how):
    key = (id(app), *sorted(how.items()))
    if key not in _known:
        # With the app, so that no other one gets its id.
        _known[key] = app, app.default_command, _describe(app, **how)
    _, command, described = _known[key]
    assert command is app.default_command, "the command of an app has changed"
    return _copy(described)


def _copy(described):
    """Return a description that shares nothing which a command line changes."""
    copies = ArgumentCollection(map(copy.copy, described))
    by_id = {id(old): new for old, new in zip(described, copies, strict=True)}
    for each in copies:
        each.tokens = []
        each.children = ArgumentCollection(by_id[id(child)] for child in each.children)
    return copies


def _negatives(argument):
    """Return names such as ``--no-embed``, which a command line looks up for each option several times."""
    parts = argument.parameter, argument.field_info
    key = tuple(map(id, parts))
    if key not in _known_negatives:
        # With the parts, so that no others get their ids.
        _known_negatives[key] = parts, _find_negatives(argument)
    return _known_negatives[key][-1]


def remember():
    """Describe the options of a command only for its first command line, and check no value with pydantic."""
    App.assemble_argument_collection = _assemble
    Argument.negatives = property(_negatives)
    # It only looks for pydantic there.
    _argument.sys = types.SimpleNamespace(modules={})
