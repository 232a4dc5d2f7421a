"""Templates in the language of Jinja, for what plain names cannot say: conditions, loops, filters.

A template may come from somebody else. It runs in Jinja's sandbox, which keeps it from what it should not reach, and
in a process of its own, which can be stopped: no sandbox keeps a loop from going round a billion times.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from cometflux.errors import ConfigError
from cometflux.sources.faults import missing_extra
from cometflux.sources.formatter import LONGEST, TemplateError, missing

SECONDS = 10
"""How long a template may work on all rows together, in seconds of the processor."""
_PATIENCE = 120.0
"""How long it is waited for on a busy machine, in seconds."""
_MEMORY = 2**30
_WORKER = Path(__file__).with_name("jinja_worker.py")


@attrs.frozen
class Filled:
    """A template that was filled in."""

    names: frozenset[str]
    """What it takes."""
    texts: tuple[str | TemplateError, ...]
    """For each row the text, or why there is none."""


def fill_jinja(text: str, rows: Sequence[Mapping[str, Any]], seconds: int = SECONDS) -> Filled:
    """Fill in a Jinja template for each row. Runs a process, and waits for it.

    Raises:
        TemplateError: the template cannot be read, or takes too long or too much memory.
        ConfigError: the extra ``batch`` is missing, or no process can be started.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise missing_extra("a Jinja template", "batch")
    order = {"template": text, "rows": rows, "longest": LONGEST, "seconds": seconds, "bytes": _MEMORY}
    answer = _ask_worker(json.dumps(order, default=_refuse))
    if "error" in answer:
        raise TemplateError(answer["error"], answer["line"] or 1)
    texts = tuple(_text_of(each, row) for each, row in zip(answer["texts"], rows, strict=True))
    return Filled(frozenset(answer["names"]), texts)


def _ask_worker(order: str) -> Any:
    # By its path and without its folder, whose names would hide those of other packages.
    command = [sys.executable, "-P", str(_WORKER)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command, input=order, env=environment, capture_output=True, encoding="utf-8", timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TemplateError("it works too long") from error
    except OSError as error:
        raise ConfigError(f"a Jinja template needs a process of its own, and none starts ({error.strerror})") from error
    if done.returncode < 0:
        raise TemplateError("it works too long, or takes too much memory")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise ConfigError(f"the process that fills in the Jinja template broke off: {last}")
    return json.loads(done.stdout)


def _refuse(value: Any) -> Any:
    raise ConfigError(f"a Jinja template takes text, numbers, booleans and lists, not {type(value).__name__}")


_UNDEFINED = re.compile(r"'([^']+)' is undefined")


def _text_of(answer: Mapping[str, Any], row: Mapping[str, Any]) -> str | TemplateError:
    if "text" in answer:
        return str(answer["text"])
    found = _UNDEFINED.fullmatch(answer["error"]) if answer.get("undefined") else None
    return TemplateError(missing(found[1], row) if found else answer["error"], answer["line"] or 1)
