import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import cometflux

PUBLIC = [
    *("open_session", "Session", "Batch", "Client", "Job", "Outcome", "OutputOf", "Prediction", "Status", "flux"),
    *("PollPolicy", "RetryPolicy", "CometfluxError", "errors", "events", "Journal", "open_store", "fetch_prices"),
    "fetch_balance",
]
MODULES = [
    module.name for module in pkgutil.walk_packages(cometflux.__path__, "cometflux.") if "__main__" not in module.name
]


def run(script):
    """Run a script in an interpreter that has imported nothing yet."""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return done.stdout.split()


def test_the_public_names_are_these():
    assert sorted(PUBLIC) == sorted(cometflux.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_there(name):
    value = getattr(cometflux, name)
    assert value is getattr(cometflux, name)
    assert name == value.__name__.rpartition(".")[2]


def test_a_star_import_gives_the_public_names():
    names = run("from cometflux import *; print(*(name for name in dir() if not name.startswith('_')))")
    assert sorted(PUBLIC) == names


def test_the_names_are_listed_before_they_are_used():
    names = run("import cometflux; print(*dir(cometflux))")
    assert set(PUBLIC) | {"__version__"} <= set(names)
    assert sorted(names) == names


@pytest.mark.parametrize("name", ["Sesion", "AiohttpTransport", "JournalWriter", "_private"])
def test_what_is_not_there_is_told_as_python_would(name):
    with pytest.raises(AttributeError) as caught:
        getattr(cometflux, name)
    assert f"module 'cometflux' has no attribute {name!r}" == str(caught.value)
    with pytest.raises(ImportError):
        exec(f"from cometflux import {name}")


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import cometflux", "aiohttp attrs attr cattrs backoff asyncio json"),
        ("from cometflux import errors, Status, Prediction", "aiohttp cattrs backoff asyncio"),
        ("from cometflux import flux, Job", "aiohttp cattrs backoff asyncio"),
        ("from cometflux import events, Outcome, PollPolicy", "aiohttp cattrs backoff asyncio"),
    ],
)
def test_importing_costs_no_more_than_what_is_asked_for(statement, absent):
    loaded = run(f"import sys; {statement}; print(*sys.modules)")
    assert [] == sorted(set(absent.split()) & set(loaded))


def test_a_module_is_loaded_as_a_name_of_the_package():
    assert ["cometflux.session.open"] == run("import cometflux; print(cometflux.open_session.__module__)")


def public_things(module):
    """Return each class and function that a module defines, and their methods, by name."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value) or inspect.isfunction(value):
            yield name, value
        if inspect.isclass(value):
            for inner, method in vars(value).items():
                if not inner.startswith("_") and isinstance(method, property | classmethod | type(public_things)):
                    yield f"{name}.{inner}", method


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_says_what_it_is(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert [] == [name for name, value in public_things(module) if not inspect.getdoc(value)]


def test_every_public_name_can_be_looked_at_without_running_it():
    assert [] == [name for name in PUBLIC if not getattr(cometflux, name).__doc__]
