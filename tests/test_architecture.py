"""The order of the modules and what each of them owns, read from the source."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "cometflux"
PURE = [
    "values",
    "locations",
    "refusals",
    "predictions",
    "errors",
    "models",
    "models.words",
    "models.kinds",
    "models.image_kinds",
    "models.parameters",
    "models.model",
    "models.flux",
    "flux",
    "jobs",
    "records",
    "events",
    "images",
    "naming",
    "converter",
    "hazard",
    "exif",
    "portable",
    "embedding",
    "notation",
    "rows",
    "protocol",
    "polling",
    "rates",
    "pacing",
    "registry",
    "addresses",
]
EFFECTS = [
    *(
        "deadlines",
        "exchange",
        "transport",
        "retry",
        "gate",
        "client",
        "reading",
        "display",
        "storage",
        "provenance",
        "store",
        "places",
        "locking",
        "database",
        "journal",
        "recorder",
        "ledger",
    ),
    *("saving", "submission", "asking", "carrying", "batch", "planning", "manifest", "session", "wiring"),
    *("telemetry", "notebook", "__init__"),
]
# A file imports only files to its left.
LINE = PURE + EFFECTS

MODULE_OWNERS = {
    "aiohttp": {"exchange", "transport"},
    "cattrs": {"converter", "notation"},
    "json": {"converter", "models.kinds", "notation"},
    "backoff": {"retry"},
    "sqlite3": {"database", "journal"},
    "obstore": {"store"},
    "piexif": {"exif"},
    "opentelemetry": {"telemetry"},
    "tqdm": {"notebook"},
}
# Clocks, threads, sockets and files.
MODULE_OWNERS |= {
    module: set(EFFECTS)
    for module in ["asyncio", "concurrent", "os", "shutil", "socket", "subprocess", "tempfile", "threading", "time"]
}
NAME_OWNERS = {
    "create_task": {"session"},
    "ensure_future": {"session"},
    "environ": {"wiring"},
    "getenv": {"wiring"},
    # An import by name would get round the line; the lazy public names need it.
    "import_module": {"__init__"},
}
CLOCK_OWNERS = {"session", "deadlines"}
ASYNC_SYNTAX = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
# A path is a value, but what it leads to is not; nor is the time of day.
EFFECT_CALLS = {
    *("open", "read_bytes", "read_text", "write_bytes", "write_text", "exists", "is_file", "is_dir", "stat", "iterdir"),
    *("glob", "rglob", "mkdir", "rmdir", "touch", "unlink", "rename", "expanduser", "now", "utcnow", "today"),
}


def find_violations(source, name):
    """Return ``file:line: rule`` for each rule that the module *name* breaks."""
    if name not in LINE:
        return [f"cometflux/{_file(name)}:1: {name} has no place in the line"]
    tree = ast.parse(source)
    eager = {node for part in tree.body if not _is_lazy(part) for node in ast.walk(part)}
    broken = sorted({(node.lineno, rule) for node in ast.walk(tree) for rule in _broken(node, node in eager, name)})
    return [f"cometflux/{_file(name)}:{line}: {rule}" for line, rule in broken]


def _file(name):
    return f"{name.replace('.', '/')}.py"


def _is_lazy(part):
    is_for_types = isinstance(part, ast.If) and "TYPE_CHECKING" in ast.unparse(part.test)
    return is_for_types or isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)


def _broken(node, is_eager, name):
    for package, module in _imported(node):
        if package == "cometflux" and module not in LINE:
            yield f"{module} has no place in the line"
        elif package == "cometflux" and LINE.index(module) >= LINE.index(name):
            yield f"{module} is not to the left of {name}"
        elif package == "cometflux" and name == "__init__" and is_eager:
            yield "the public names are imported when they are asked for"
        elif name not in MODULE_OWNERS.get(package, {name}):
            yield f"{package} belongs to {_list(MODULE_OWNERS[package])}"
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word) if word in NAME_OWNERS:
            if name not in NAME_OWNERS[word]:
                yield f"{word} belongs to {_list(NAME_OWNERS[word])}"
        case ast.Call(func=ast.Attribute(attr="time") as clock) if name not in CLOCK_OWNERS:
            if ast.unparse(clock) != "time.time":
                yield f"the loop's clock belongs to {_list(CLOCK_OWNERS)}"
        case ast.Call(func=ast.Name(id=word) | ast.Attribute(attr=word)) if name in PURE and word in EFFECT_CALLS:
            yield f"{name} is pure: no {word}()"
    if name in PURE and isinstance(node, ASYNC_SYNTAX):
        yield f"{name} is pure: no async, no await"


def _imported(node):
    """Each import as the package and the module in it, also where the module is named as if it were a member."""
    return [(package, _place(inner)) for package, *inner in _paths(node)]


def _place(inner):
    """Name the module at the start of *inner*, the deepest that has a place in the line."""
    return next((name for name in (".".join(inner[:2]), *inner[:1]) if name in LINE), [*inner, "__init__"][0])


def _paths(node):
    match node:
        case ast.Import(names=names):
            paths = [alias.name for alias in names]
        case ast.ImportFrom(module=module, level=level, names=names):
            start = ".".join(filter(None, ["cometflux" if level else None, module]))
            paths = [f"{start}.{alias.name}" for alias in names]
        case _:
            paths = []
    return [path.split(".") for path in paths]


def _list(owners):
    return " and ".join(sorted(owners)) if len(owners) < len(EFFECTS) else "the modules with effects"


def _name_of(path):
    inner = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(inner[:-1] if len(inner) > 1 and inner[-1] == "__init__" else inner)


def test_every_module_keeps_to_the_line():
    violations = [
        violation
        for path in sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("models/*.py")])
        for violation in find_violations(path.read_text(encoding="utf-8"), _name_of(path))
    ]
    assert [] == violations, "\n".join(violations)


@pytest.mark.parametrize(
    ("name", "source", "rule"),
    [
        pytest.param("jobs", "from cometflux.session import Session", "session is not to the left", id="right to left"),
        pytest.param("jobs", "from cometflux import session", "session is not to the left", id="from the package"),
        pytest.param("jobs", "from .session import Session", "session is not to the left", id="a relative import"),
        pytest.param("jobs", "import cometflux.session", "session is not to the left", id="a plain import"),
        pytest.param("jobs", "def f(): import cometflux.session", "session is not to the left", id="in a function"),
        pytest.param("registry", "def _repr(): import cometflux.display", "display is not to", id="shown by itself"),
        pytest.param("session", "import opentelemetry.trace", "opentelemetry belongs to", id="spans in session"),
        pytest.param("wiring", "import cometflux", "__init__ is not to the left", id="the package itself"),
        pytest.param(
            "jobs", "if TYPE_CHECKING: from cometflux.wiring import x", "wiring is not to the left", id="for types only"
        ),
        pytest.param("wiring", "import cometflux.cli", "cli has no place in the line", id="the command"),
        pytest.param("helpers", "", "helpers has no place in the line", id="a module without a place"),
        pytest.param("session", "import aiohttp", "aiohttp belongs to exchange", id="aiohttp in session"),
        pytest.param("__init__", "from aiohttp import web", "aiohttp belongs to", id="aiohttp at the top"),
        pytest.param("client", "from json import loads", "json belongs to converter", id="json in client"),
        pytest.param("journal", "def f(): import cattrs.gen", "cattrs belongs to converter", id="cattrs in journal"),
        pytest.param("client", "import backoff", "backoff belongs to retry", id="backoff in client"),
        pytest.param("storage", "import sqlite3", "sqlite3 belongs to database and journal", id="sqlite3 in storage"),
        pytest.param("session", "os.environ['KEY']", "environ belongs to wiring", id="the environment in session"),
        pytest.param("session", "from os import getenv", "getenv belongs to wiring", id="a variable in session"),
        pytest.param("client", "asyncio.create_task(f())", "create_task belongs to session", id="a task in client"),
        pytest.param("storage", "group.create_task(f())", "create_task belongs to session", id="a task in a group"),
        pytest.param("client", "import_module('x')", "import_module belongs to __init__", id="an import by name"),
        pytest.param("client", "loop.time()", "the loop's clock belongs to deadlines", id="the loop's clock"),
        pytest.param("client", "get_running_loop().time()", "the loop's clock belongs", id="the running loop's clock"),
        pytest.param("polling", "async def f(): await g()", "polling is pure: no async", id="an await in polling"),
        pytest.param("pacing", "from time import monotonic", "time belongs to the modules", id="a clock in pacing"),
        pytest.param("events", "import asyncio", "asyncio belongs to the modules", id="asyncio in events"),
        pytest.param("registry", "datetime.now(UTC)", "registry is pure: no now()", id="the time of day in registry"),
        pytest.param("jobs", "Path('a.png').read_bytes()", "jobs is pure: no read_bytes()", id="a file in jobs"),
        pytest.param(
            "models.kinds", "from cometflux.models.model import x", "model is not to the left", id="within a folder"
        ),
        pytest.param("models.flux", "from cometflux import flux", "flux is not to the left", id="from the face"),
        pytest.param("models.flux", "from cometflux.jobs import Job", "jobs is not to the left", id="from a folder"),
        pytest.param("models.kinds", "Path('a').stat()", "models.kinds is pure: no stat()", id="a file in a folder"),
        pytest.param("flux", "open('a.png')", "flux is pure: no open()", id="an open file in flux"),
        pytest.param(
            "__init__", "from cometflux.jobs import Job", "when they are asked for", id="an eager public name"
        ),
    ],
)
def test_a_planted_violation_is_found(name, source, rule):
    (violation,) = find_violations(source, name)
    assert violation.startswith(f"cometflux/{_file(name)}:1: ")
    assert rule in violation


@pytest.mark.parametrize(
    ("name", "source"),
    [
        pytest.param("jobs", "from cometflux.models.model import is_model", id="a module in a folder"),
        pytest.param("jobs", "from pathlib import Path\nPath('a') / 'b'", id="a path as a value"),
        pytest.param("session", "from cometflux import protocol\nloop.time()", id="the loop's clock in session"),
        pytest.param("journal", "import time\ntime.time()", id="the time of day in journal"),
        pytest.param("client", "async def f(): await asyncio.sleep(1)", id="a sleep in client"),
        pytest.param("__init__", "def f(name): import_module('cometflux.jobs')", id="a lazy public name"),
        pytest.param("__init__", "if TYPE_CHECKING:\n    from cometflux.jobs import Job", id="a public name for types"),
    ],
)
def test_what_keeps_to_the_line_passes(name, source):
    assert [] == find_violations(source, name)
