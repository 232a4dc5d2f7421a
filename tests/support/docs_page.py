"""Run the code of a page as its reader would: ``python tests/support/docs_page.py PAGE``, in an empty folder.

Each page has its own process. Its blocks run in order and share their names, as in one script. COMETFLUX_BASE_URL is a
local service, and the current folder has the checkout's folder ``examples`` and its ``prompts.csv``.

* A ``python`` block is a script with ``await`` allowed at the top level. A ``main`` that is defined and not called is
  called. All blocks that define tests run under pytest at the end of the page.
* In a ``console`` block each line ``$ cometflux …`` is run. It must print the lines below it, except for numbers and
  ``…``, and exit with 0, unless these lines contain ``error:``.
* ``<!-- file: NAME -->`` above a block writes it to a file; ``<!-- not run: REASON -->`` above a console block
  skips it; ``<!-- invisible-code: python`` is a block that readers do not see.

A Python module is a page, too, with the ``.. code-block:: python`` of its docstrings.
"""

import ast
import asyncio
import contextlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import types
import warnings
from pathlib import Path

from sybil.document import Document, PythonDocStringDocument
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer, FencedCodeBlockLexer
from sybil.parsers.rest import CodeBlockParser

ROOT = Path(__file__).parents[2]
_MARKER = re.compile(r"<!-- (file|not run): (.+?) -->\s*\Z")
_SHELL = re.compile(r"[|<>&;`*?~]|\$")


class PageError(Exception):
    """The code of a page does not do as the page shows."""


class Page:
    """One page with its blocks and their shared names."""

    def __init__(self, path):
        self.tests = []
        self.module = types.ModuleType("__main__")
        parse = PythonDocStringDocument.parse if path.suffix == ".py" else Document.parse
        parser = CodeBlockParser("python", self._run_python) if path.suffix == ".py" else self._blocks
        self.document = parse(str(path), parser)
        # The names come from the page, not from the module with the docstrings.
        self.document.evaluators.clear()
        self.document.namespace = self.module.__dict__

    def run(self):
        """Run the page; return the number of its blocks."""
        sys.modules["__main__"] = self.module
        examples = list(self.document.examples())
        with asyncio.Runner() as self.runner:
            for example in examples:
                try:
                    example.evaluate()
                except BaseException as error:
                    error.add_note(f"{example.path}, block at line {example.line}")
                    raise
        self._run_tests()
        return len(examples)

    def _blocks(self, document):
        for region in DirectiveInHTMLCommentLexer("invisible-code", "python")(document):
            yield self._region(region, self._run_python)
        for region in FencedCodeBlockLexer(r"[^\n`]+")(document):
            marker = _MARKER.search(document.text, 0, region.start)
            kind, value = marker.groups() if marker else (None, "")
            language = region.lexemes["language"].strip()
            if kind == "file":
                region.lexemes["name"] = value
                yield self._region(region, self._write)
            elif language == "python":
                yield self._region(region, self._run_python)
            elif language == "console" and kind is None:
                yield self._region(region, self._run_console)

    def _region(self, region, evaluator):
        region.parsed, region.evaluator = region.lexemes["source"], evaluator
        return region

    # ── blocks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _write(self, example):
        Path(example.region.lexemes["name"]).write_text(example.parsed, encoding="utf-8")

    def _run_python(self, example):
        # The same line as on the page, so that a traceback shows it.
        source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
        tree = ast.parse(source)
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if any(name.startswith("test_") for name in names):
            self.tests.append(source)
            return
        self._evaluate(source, example.path)
        if "main" in names and "main()" not in source.partition("def main()")[2]:
            self._evaluate("await main()", example.path)

    def _evaluate(self, source, path):
        code = compile(source, path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        result = eval(code, self.module.__dict__)
        if inspect.iscoroutine(result):
            self.runner.run(result)

    def _run_tests(self):
        if not self.tests:
            return
        Path("test_page.py").write_text("\n\n".join(self.tests), encoding="utf-8")
        options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-W", "error"]
        options += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
        command = [sys.executable, "-m", "pytest", "--rootdir=.", *options, "test_page.py"]
        if subprocess.run(command, check=False).returncode:
            raise PageError("the tests of the page fail")

    def _run_console(self, example):
        for command, shown in _commands(example.parsed):
            code, printed = _run_command(command)
            if bool(code) is not any(line.startswith("error:") for line in shown):
                raise PageError(f"`{command}` ended with {code}:\n{printed}")
            for line in shown:
                if not _is_printed(line, printed):
                    raise PageError(f"`{command}` does not print {line!r}, but:\n{printed}")


# ── the shell ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _commands(text):
    """Yield each cometflux command with the lines below it."""
    command, shown = None, []
    for line in [*text.replace("\\\n", " ").splitlines(), "$"]:
        if not line.startswith("$"):
            shown.append(line)
            continue
        if command and re.search(r"(^|[\s|])cometflux ", command):
            yield command, [each for each in shown if each.strip()]
        command, shown = line[1:].strip(), []


def _run_command(command):
    words = shlex.split(command, comments=True)
    bare = " ".join(words)
    with tempfile.TemporaryFile() as printed, _streams_to(printed):
        if words[0] == "cometflux" and not _SHELL.search(bare.replace("…", "")):
            from cometflux.cli import main

            # As the installed script does.
            code = main(words[1:])
        else:
            code = subprocess.run(["sh", "-c", command], check=False, stdin=subprocess.DEVNULL).returncode
        printed.seek(0)
        return code, printed.read().decode()


@contextlib.contextmanager
def _streams_to(file):
    """Redirect both streams to *file*, also for writes to the file descriptors."""
    kept = [os.dup(number) for number in (1, 2)]
    sys.stdout.flush()
    for number in (1, 2):
        os.dup2(file.fileno(), number)
    try:
        with open(1, "w", closefd=False) as stream, contextlib.redirect_stdout(stream):
            yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _is_printed(shown, printed):
    """Whether *printed* contains *shown*. Numbers may differ, ``…`` matches anything, and runs of spaces are equal."""
    pattern = re.escape(_plain(shown)).replace("…", ".*").replace("0", "[0-9.]+")
    return re.search(pattern, _plain(printed)) is not None


def _plain(text):
    return re.sub(r"[0-9][0-9.]*", "0", re.sub(r"[ \t]+", " ", text)).strip()


def main(paths):
    """Run pages in turn, with their own local service."""
    from cometflux.testing import LocalService

    # There is no keyboard input.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with LocalService.in_thread(latency=0.02, pixels=4096) as service:
        os.environ |= {"COMETAPI_KEY": service.key, "COMETFLUX_BASE_URL": service.url, "COLUMNS": "80"}
        Path("examples").symlink_to(ROOT / "examples")
        shutil.copy(ROOT / "examples" / "prompts.csv", "prompts.csv")
        for path in paths:
            print(f"{path.name}, blocks: {Page(path).run()}")
    Path("examples").unlink()


if __name__ == "__main__":
    warnings.simplefilter("error")
    main([Path(each) for each in sys.argv[1:]])
