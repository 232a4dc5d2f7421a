"""Fill in a Jinja template for many rows: a program of its own, since only a process can be stopped whatever it does.

Reads one JSON object from stdin and writes one to stdout. It is started by `cometflux.sources.jinja`, by its path, and
imports nothing of this package.
"""

import contextlib
import json
import math
import sys
import traceback
from types import FrameType
from typing import Any, NoReturn

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _TooMuchWorkError(Exception):
    """The time is over. A template has no way to catch it."""


def main() -> None:
    """Do what stdin says, and tell it on stdout."""
    order = json.load(sys.stdin)
    _bound(order["seconds"], order["bytes"])
    try:
        answer = _fill(order["template"], order["rows"], order["longest"])
    except _TooMuchWorkError as error:
        answer = {"error": "it works too long", "line": _line_of(error)}
    except (MemoryError, RecursionError) as error:
        answer = {"error": "it takes too much memory", "line": _line_of(error)}
    with contextlib.suppress(ImportError):
        import signal

        # What is left to do is our own.
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    json.dump(answer, sys.stdout)


def _bound(seconds: int, memory: int) -> None:
    """Have the system stop this process where the template does not come to an end by itself."""
    with contextlib.suppress(ImportError, AttributeError):
        import resource
        import signal

        signal.signal(signal.SIGXCPU, _stop)
        # Not every system bounds the memory of a process.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _TooMuchWorkError


def _fill(text: str, rows: list[dict[str, Any]], longest: int) -> dict[str, Any]:
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, finalize=_text, keep_trailing_newline=False, autoescape=False
    )
    # A text that chance has made is another job in each run, and would be bought again.
    del environment.filters["random"], environment.globals["lipsum"]
    try:
        names = sorted(meta.find_undeclared_variables(environment.parse(text)) - set(environment.globals))
        template = environment.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        return {"error": str(error.message), "line": error.lineno}
    return {"names": names, "texts": [_render(template, row, longest) for row in rows]}


def _text(value: Any) -> Any:
    """Let texts and numbers through: the name of an object in memory is another one in each run."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, jinja2.Undefined | str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    what = "null" if value is None else "a list" if isinstance(value, list) else f"a {type(value).__name__}"
    raise TypeError(f"{what} stands where a text or a number is expected")


def _render(template: jinja2.Template, row: dict[str, Any], longest: int) -> dict[str, Any]:
    parts: list[str] = []
    length = 0
    try:
        for part in template.generate(row):
            parts.append(part)
            length += len(part)
            if length > longest:
                return {"error": f"the text has more than {longest} characters", "line": None}
    except (MemoryError, RecursionError, _TooMuchWorkError):
        raise
    # A template may raise whatever Python raises: all of it is an error of the template.
    except Exception as error:  # noqa: BLE001
        undefined = isinstance(error, jinja2.UndefinedError)
        return {"error": str(error) or type(error).__name__, "line": _line_of(error), "undefined": undefined}
    return {"text": "".join(parts)}


def _line_of(error: BaseException) -> int | None:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return lines[-1] if lines else None


if __name__ == "__main__":
    main()
