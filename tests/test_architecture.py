"""The house: the order of its folders, what is pure, and what each file owns, read from the source."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cometflux"
ORDER = [
    *("basics", "predictions", "locations", "errors", "number_checks", "models", "flux"),
    *("jobs", "outcomes", "events"),
    *("images", "protocol", "polling", "pacing", "transport", "provenance", "storage", "journal"),
    *("account", "engine", "session", "sync", "notebook", "telemetry", "__init__"),
]
"""The rooms of the line: a file imports only rooms above its own, and files of its own room."""
BESIDE = {"sources", "testing", "gallery", "export", "distributed", "mcp", "cli", "__main__"}
"""They import the line, and no file of the line imports them; only the command imports the others."""
LAZY_DOORS = {("session/open", "distributed")}
"""The exceptions: imported inside a function, so that nothing of it is loaded unless it is used."""

PURE = {
    *("basics/*", "predictions", "locations", "errors", "number_checks", "models/*", "flux"),
    *("jobs", "outcomes", "events"),
    *("images/*", "protocol/*", "polling/*", "pacing/*", "provenance/*"),
    *("transport/addresses", "transport/redaction", "transport/timeouts"),
    *("storage/file_names", "storage/object_store_errors", "journal/codec"),
    *("account/settling", "account/usage", "account/prices", "account/routes", "account/catalogue_reader"),
    "account/balance",
    "account/cost_words",
    *("journal/states", "journal/attempts", "journal/live_record", "journal/record", "journal/redo", "journal/outcome"),
}
IMPURE = {
    *("basics/regular_files", "basics/quoting", "images/decode", "images/looks", "images/reference_files"),
    *("pacing/admission", "pacing/limiter", "pacing/retry"),
    *("provenance/read", "provenance/sidecar", "provenance/signing"),
}
"""Exceptions to the folders in `PURE`."""

MODULE_OWNERS = {
    "aiohttp": {"transport/aiohttp", "transport/connector", "transport/exchange", "transport/prepared"},
    "cattrs": {"protocol/encoding", "journal/codec"},
    "json": {"models/kinds", "protocol/decoding", "protocol/encoding", "journal/codec"},
    "backoff": {"pacing/retry"},
    "sqlite3": {"journal/database", "journal/reader", "journal/job_rows", "journal/writer"},
    "obstore": {"storage/object_store"},
    "opentelemetry": {"telemetry"},
    "tqdm": {"notebook"},
    "c2pa": {"provenance/signing"},
    "cryptography": {"provenance/signing"},
    "IPython": {"notebook"},
}
EFFECTS = {"asyncio", "concurrent", "os", "shutil", "socket", "subprocess", "tempfile", "threading", "time"}
"""Clocks, threads, sockets and files: not for a pure file."""
NAME_OWNERS = {
    "create_task": {"engine/runtime"},
    "ensure_future": {"engine/runtime"},
    "environ": {"session/settings"},
    "getenv": {"session/settings"},
    # An import by name would get round the order; the lazy public names need it.
    "import_module": {"__init__"},
}
SYSTEM_OWNERS = {"storage/atomic", "journal/lock", "basics/quoting"}
"""The files that have a way for POSIX and one for Windows."""
SYSTEMS = re.compile(r"sys\.platform|os\.name\b|import (fcntl|msvcrt|termios|resource|pwd|winreg)|platform\.system")
CLOCK_OWNERS = {"engine/runtime", "transport/deadlines"}
ASYNC_SYNTAX = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
# A path is a value, but the file it leads to is not; nor is the time of day.
EFFECT_CALLS = {
    *("open", "read_bytes", "read_text", "write_bytes", "write_text", "exists", "is_file", "is_dir", "stat", "iterdir"),
    *("glob", "rglob", "mkdir", "rmdir", "touch", "unlink", "rename", "expanduser", "now", "utcnow", "today"),
}
MOST_PARAMETERS = 8


def name_of(path):
    """Return how a file is named here: ``jobs``, ``journal/lock``, or the folder alone for its ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "/".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def room_of(name):
    return name.partition("/")[0]


def is_in(name, names):
    return name in names or f"{room_of(name)}/*" in names


def is_pure(name):
    return is_in(name, PURE) and name not in IMPURE


def find_violations(source, name):
    """Return ``file:line: rule`` for each rule that the file *name* breaks."""
    if room_of(name) not in {*ORDER, *BESIDE}:
        return [f"cometflux/{name}.py:1: {room_of(name)} has no place in the house"]
    tree = ast.parse(source)
    eager = {node for part in tree.body if not _is_lazy(part) for node in ast.walk(part)}
    broken = sorted({(node.lineno, rule) for node in ast.walk(tree) for rule in _broken(node, node in eager, name)})
    return [f"cometflux/{name}.py:{line}: {rule}" for line, rule in broken]


def _is_lazy(part):
    is_for_types = isinstance(part, ast.If) and "TYPE_CHECKING" in ast.unparse(part.test)
    return is_for_types or isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)


def _is_long_constructor(node):
    if not isinstance(node, ast.FunctionDef) or node.name != "__init__":
        return False
    return len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) > 1 + MOST_PARAMETERS


def _broken(node, is_eager, name):
    for package, module in imported(node):
        if package == "cometflux":
            if is_eager or (name, room_of(module)) not in LAZY_DOORS:
                yield from _misplaced(room_of(name), room_of(module), is_eager)
        elif room_of(name) not in BESIDE and not is_in(name, MODULE_OWNERS.get(package, {name})):
            yield f"{package} belongs to {_list(MODULE_OWNERS[package])}"
        elif package in EFFECTS and is_pure(name):
            yield f"{name} is pure: no {package}"
    if _is_long_constructor(node) and name != "session/session":
        yield f"a constructor has at most {MOST_PARAMETERS} parameters"
    if room_of(name) in BESIDE:
        return
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word) if word in NAME_OWNERS:
            if name not in NAME_OWNERS[word]:
                yield f"{word} belongs to {_list(NAME_OWNERS[word])}"
        case ast.Call(func=ast.Attribute(attr="time") as clock) if name not in CLOCK_OWNERS:
            if ast.unparse(clock) != "time.time":
                yield f"the loop's clock belongs to {_list(CLOCK_OWNERS)}"
        case ast.Call(func=ast.Name(id=word) | ast.Attribute(attr=word)) if is_pure(name) and word in EFFECT_CALLS:
            yield f"{name} is pure: no {word}()"
    if is_pure(name) and isinstance(node, ASYNC_SYNTAX):
        yield f"{name} is pure: no async, no await"


def _misplaced(room, other, is_eager):
    if other == room != "__init__":
        return
    if room in BESIDE:
        if other in BESIDE and room != "cli" and (room, other) != ("__main__", "cli"):
            yield f"{room} and {other} do not import each other"
    elif other in BESIDE or other not in ORDER:
        yield f"{other} has no place in the line"
    elif ORDER.index(other) >= ORDER.index(room):
        yield f"{other} is not above {room}"
    elif room == "__init__" and is_eager:
        yield "the public names are imported when they are asked for"


def imported(node):
    """Return each import as the package and the file in it, also for a file that is imported as if it were a name."""
    match node:
        case ast.Import(names=names):
            paths = [alias.name for alias in names]
        case ast.ImportFrom(module=module, level=level, names=names):
            start = ".".join(filter(None, ["cometflux" if level else None, module]))
            paths = [f"{start}.{alias.name}" for alias in names]
        case _:
            paths = []
    return [(path.partition(".")[0], _file_of(path)) for path in paths]


def _file_of(path):
    """Return the longest beginning of a dotted path that is a file here; else its first part in the package."""
    parts = path.split(".")[1:]
    for count in range(len(parts), 0, -1):
        if "/".join(parts[:count]) in FILES:
            return "/".join(parts[:count])
    return parts[0] if parts and (parts[0].islower() and path.count(".") > 1) else "__init__"


def _list(owners):
    return " and ".join(sorted(owners))


def find_circles(edges):
    """Return the files of a circle of imports; none if there is no circle."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_file_keeps_to_the_house():
    violations = [
        violation
        for name, path in FILES.items()
        for violation in find_violations(path.read_text(encoding="utf-8"), name)
    ]
    assert [] == violations, "\n".join(violations)


def test_no_imports_make_a_circle():
    edges = {
        name: {
            file
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for package, file in imported(node)
            if package == "cometflux" and file not in (name, "__init__")
        }
        for name, path in FILES.items()
        if name != "__init__"
    }
    assert [] == find_circles(edges)


def test_a_planted_circle_is_found():
    assert ["a", "b", "a"] == find_circles({"a": {"b"}, "b": {"a"}, "c": {"a"}})


def test_a_folder_of_the_line_says_what_it_is_for():
    silent = [
        name for name, path in FILES.items() if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert [] == silent


@pytest.mark.parametrize(
    ("name", "source", "rule"),
    [
        pytest.param("jobs", "from cometflux.session import x", "session is not above", id="from below"),
        pytest.param("jobs", "from cometflux import session", "session is not above", id="from the package"),
        pytest.param("jobs", "from .session import x", "session is not above", id="a relative import"),
        pytest.param("jobs", "import cometflux.session.batch", "session is not above", id="a plain import"),
        pytest.param("jobs", "def f(): import cometflux.session", "session is not above", id="in a function"),
        pytest.param("storage/folder", "from cometflux.journal.record import x", "journal is not above", id="a folder"),
        pytest.param("engine/saver", "import opentelemetry.trace", "opentelemetry belongs to", id="spans in saver"),
        pytest.param("session/open", "import cometflux", "__init__ is not above", id="the package itself"),
        pytest.param(
            "jobs", "if TYPE_CHECKING: from cometflux.session import x", "session is not above", id="for types only"
        ),
        pytest.param("session/open", "import cometflux.cli", "cli has no place in the line", id="the command"),
        pytest.param("gallery/page", "import cometflux.sources", "do not import each other", id="a neighbour"),
        pytest.param("helpers", "", "helpers has no place in the house", id="a file without a place"),
        pytest.param("helpers/x", "", "helpers has no place in the house", id="a folder without a place"),
        pytest.param("session/session", "import aiohttp", "aiohttp belongs to transport/", id="aiohttp in session"),
        pytest.param("__init__", "from aiohttp import web", "aiohttp belongs to", id="aiohttp at the top"),
        pytest.param("transport/client", "from json import loads", "json belongs to", id="json in client"),
        pytest.param("journal/writer", "def f(): import cattrs.gen", "cattrs belongs to", id="cattrs in the writer"),
        pytest.param("transport/client", "import backoff", "backoff belongs to pacing/retry", id="backoff in client"),
        pytest.param("storage/folder", "import sqlite3", "sqlite3 belongs to journal/", id="sqlite3 in storage"),
        pytest.param("session/open", "os.environ['KEY']", "environ belongs to session/settings", id="the environment"),
        pytest.param("session/open", "from os import getenv", "getenv belongs to session/settings", id="a variable"),
        pytest.param("transport/client", "asyncio.create_task(f())", "create_task belongs to", id="a task"),
        pytest.param("storage/folder", "group.create_task(f())", "create_task belongs to", id="a task in a group"),
        pytest.param("transport/client", "import_module('x')", "import_module belongs to", id="an import by name"),
        pytest.param("transport/client", "loop.time()", "the loop's clock belongs to", id="the loop's clock"),
        pytest.param(
            "transport/client", "get_running_loop().time()", "the loop's clock", id="the running loop's clock"
        ),
        pytest.param("polling/schedule", "async def f(): await g()", "is pure: no async", id="an await in polling"),
        pytest.param("pacing/pacer", "from time import monotonic", "is pure: no time", id="a clock in pacing"),
        pytest.param("events", "import asyncio", "events is pure: no asyncio", id="asyncio in events"),
        pytest.param("outcomes", "datetime.now(UTC)", "outcomes is pure: no now()", id="the time of day"),
        pytest.param("jobs", "Path('a.png').read_bytes()", "jobs is pure: no read_bytes()", id="a file in jobs"),
        pytest.param(
            "testing/service",
            "def __init__(self, a, b, c, d, *, e, f, g, h, i): pass",
            "a constructor has at most 8 parameters",
            id="a long constructor",
        ),
        pytest.param("models/flux", "open('a.png')", "is pure: no open()", id="an open file in a model"),
        pytest.param(
            "__init__", "from cometflux.jobs import Job", "when they are asked for", id="an eager public name"
        ),
    ],
)
def test_a_planted_violation_is_found(name, source, rule):
    (violation,) = find_violations(source, name)
    assert violation.startswith(f"cometflux/{name}.py:1: ")
    assert rule in violation


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("jobs", "from pathlib import Path\nPath('a') / 'b'", id="a path as a value"),
        pytest.param("journal/writer", "from cometflux.journal.record import x", id="a file of the same folder"),
        pytest.param("journal/lock", "import time\ntime.time()", id="the time of day in an effect"),
        pytest.param("transport/client", "async def f(): await asyncio.sleep(1)", id="a sleep in client"),
        pytest.param("cli/app", "import json\nfrom cometflux.sources import x", id="the command imports all"),
        pytest.param("__init__", "def f(name): import_module('cometflux.jobs')", id="a lazy public name"),
        pytest.param("__init__", "if TYPE_CHECKING:\n    from cometflux.jobs import Job", id="a public name for types"),
    ],
)
def test_an_allowed_import_passes(name, source):
    assert [] == find_violations(source, name)


def loose_json(tree):
    """Yield the line of each call that would write ``NaN`` or ``Infinity``, which are not JSON."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="dumps" | "dump" | "JSONEncoder", value=ast.Name(id="json"))):
                strict = [each.arg == "allow_nan" and each.value.value is False for each in node.keywords if each.arg]
                if not any(strict):
                    yield node.lineno


def test_only_strict_json_is_written():
    found = {name: list(loose_json(ast.parse(path.read_text(encoding="utf-8")))) for name, path in FILES.items()}
    # What the local service sends may be wrong on purpose.
    assert {} == {name: lines for name, lines in found.items() if lines and room_of(name) != "testing"}


def test_loose_json_is_found():
    assert [2] == list(loose_json(ast.parse("json.dumps(1, allow_nan=False)\njson.dumps(1, indent=2)")))


def test_only_three_files_know_which_operating_system_it_is():
    found = {name for name, path in FILES.items() if SYSTEMS.search(path.read_text(encoding="utf-8"))}
    assert found == SYSTEM_OWNERS
