"""README.md and docs/: what is shown runs, and what is listed is all there is."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import forked_process
import pytest
from docs_page import ROOT, Page
from offline_site import find_requests
from test_architecture import BESIDE, ORDER
from waiting import PATIENCE

from cometflux import errors, flux
from cometflux.testing import FAULTS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = re.compile(r"^```(python|console)$|<!-- file: ", re.MULTILINE)
SHOWN = [page for page in PAGES if CODE.search(page.read_text(encoding="utf-8"))]
DOCSTRINGS = [
    path for path in sorted((ROOT / "cometflux").rglob("*.py")) if ".. code-block:: python" in path.read_text()
]
ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]


def name(path):
    return str(path.relative_to(ROOT))


def run(pages, folder):
    """Run pages as their reader would; nobody's own settings have a say in it."""
    environment = {word: value for word, value in os.environ.items() if not word.startswith(("COMET", "PYTEST_"))}
    paths = [Path(sys.executable).parent, *os.environ["PATH"].split(os.pathsep)]
    environment |= {"PYTHONPATH": str(ROOT), "PATH": os.pathsep.join(map(str, paths)), "HOME": str(folder.parent)}
    command = [sys.executable, ROOT / "tests" / "support" / "docs_page.py", *pages]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with forked_process.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams) as process:
        try:
            return process.communicate(timeout=PATIENCE)[0], process.returncode
        finally:
            process.kill()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_what_the_docstrings_show_runs(folder):
    assert DOCSTRINGS
    said, code = run(DOCSTRINGS, folder)
    assert 0 == code, said
    assert len(DOCSTRINGS) == len(re.findall("blocks: [1-9]", said))


@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_what_a_page_shows_runs(page, folder):
    said, code = run([page], folder)
    assert 0 == code, said
    if page.name == "fastapi.md":
        # It saves what its visitors ask for, and nobody visits; tests/test_fastapi_app.py does.
        return
    for place in re.findall(r'save_to="([\w-]+)"', page.read_text(encoding="utf-8")):
        assert [*(folder / place).glob("*.webp"), *(folder / place).glob("*.png")], f"no pictures in {place}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


# ── what is listed ───────────────────────────────────────────────────────────────────────────────────────────────────


def table(page, heading):
    """Return the rows below a heading, each as a list of cells."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    rows = [line.strip("|").split("|") for line in section[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.mark.parametrize(
    "word", ["429", "concurrency", "img2img", "upscale", "timeout", "cost", "retry", "resume", "redo"]
)
def test_the_first_page_leads_from_a_search_word_to_a_page(word):
    rows = table(ROOT / "docs" / "index.md", "I am looking for …")
    assert [True] == ["](" in pages for words, pages in rows if word in words.split(", ")]


def test_every_error_says_what_to_do():
    rows = {row[0].strip("`"): row[1:] for row in table(ROOT / "docs" / "errors.md", "What to do")}
    assert sorted(each.__name__ for each in ERRORS) == sorted(rows)
    assert [] == [each for each, cells in rows.items() if len(cells) != 2 or not all(cells)]


def test_the_tree_of_errors_is_the_one_in_the_code():
    def drawn(text):
        return re.findall(r"^ *([│├└─ ]*\w+Error)(?: {2,}|$)", text, re.MULTILINE)

    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert len(ERRORS) == len(drawn(page))
    assert [each.strip() for each in drawn(inspect.cleandoc(errors.__doc__))] == [each.strip() for each in drawn(page)]


def test_every_fault_is_listed_as_what_it_is():
    rows = table(ROOT / "docs" / "guides" / "testing.md", "Every fault")
    listed = {row[0].strip("`"): (row[1], row[2]) for row in rows}
    assert {fault.name: (" ".join((fault.on, *fault.also)), fault.about) for fault in FAULTS.values()} == listed


def test_every_public_name_has_its_place_in_the_reference():
    import cometflux

    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.rst"))
    modules = {each for each in cometflux.__all__ if f"automodule:: cometflux.{each}\n" in text}
    names = set(re.findall(r"^\.\. auto(?:class|function|exception):: (?:cometflux\.)?(\w+)", text, re.MULTILINE))
    described = {each for each in cometflux.__all__ if hasattr(errors, each)}
    assert [] == sorted(set(cometflux.__all__) - modules - names - described)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/how-it-works.md"])
def test_the_tree_shows_the_rooms_in_their_order(page):
    tree = re.search(r"^```text\n(basics.*?)```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)[1]
    line, beside = (re.findall(r"^[\w/, ]+?(?= {2,})", part, re.MULTILINE) for part in tree.split("── on top"))
    assert ORDER == [room.strip("/") for names in line for room in names.split(", ")]
    assert sorted(BESIDE) == sorted(room.strip("/") for room in beside)
    folders = {path.parent.name for path in (ROOT / "cometflux").glob("*/__init__.py")}
    assert folders == {room.strip("/") for names in (*line, *beside) for room in names.split(", ") if "/" in room}


def test_every_model_has_its_place_in_the_reference():
    text = (ROOT / "docs" / "api" / "flux.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. autoclass:: (\w+)\n   :inherited-members: Flux", text, re.MULTILINE)
    assert [each.__name__ for each in flux.MODELS.values()] == listed


# ── the site ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<img src="//cdn.example/x.png">'),
        ("a.html", '<link rel="stylesheet" href="https://fonts.example/css">'),
        ("a.html", '<link rel="dns-prefetch" href="//fonts.example">'),
        ("a.html", "<style>@import 'https://fonts.example/css'</style>"),
        ("a.html", '<p style="background: url(https://x.example/p.png)">'),
        ("a.css", "@font-face { src: url(https://fonts.example/f.woff2) }"),
        ("a.js", 'fetch("https://x.example/")'),
        ("a.svg", '<svg><style>@import url("//fonts.example/css")</style></svg>'),
    ],
)
def test_a_page_that_would_ask_the_network_is_found(name, text, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert [name] == [each.partition(":")[0] for each in find_requests(tmp_path)][:1]


def test_the_pictures_of_the_pages_ask_the_network_for_nothing(tmp_path):
    for drawn in (ROOT / "docs").glob("*.svg"):
        (tmp_path / drawn.name).write_text(drawn.read_text(encoding="utf-8"), encoding="utf-8")
    assert (tmp_path / "terminal.svg").exists()
    assert [] == find_requests(tmp_path)


def test_a_link_that_a_reader_may_follow_is_none(tmp_path):
    page = '<a href="https://example.org">there</a> <link rel="canonical" href="https://x.example"> <img src="a.png">'
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    assert [] == find_requests(tmp_path)


# ── a page that is not so ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("```python\n1 / 0\n```\n", "division by zero", id="an error"),
        pytest.param("```python\nx = 1\n```\n```python\nawait x\n```\n", "await", id="an await of the name of another"),
        pytest.param("```python\nasync def main():\n    raise KeyError(7)\n```\n", "7", id="a main that is not called"),
        pytest.param("```console\n$ cometflux modles\n```\n", "ended with 2", id="a command that is none"),
        pytest.param("```console\n$ cometflux models nonsense\n```\n", "ended with 2", id="an error that is not shown"),
        pytest.param("```console\n$ cometflux --version\n9.9 nine\n```\n", "does not print", id="what is not printed"),
        pytest.param(
            "```console\n$ cometflux --version\nerror: no\n```\n", "ended with 0", id="an error that does not come"
        ),
        pytest.param(
            "<!-- file: a.txt -->\n```text\nx\n```\n```python\nimport os\nos.stat('b.txt')\n```\n",
            "b.txt",
            id="no such file",
        ),
    ],
)
def test_a_page_that_is_not_so_is_told(text, complaint, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    with pytest.raises(BaseException, match=complaint) as caught:
        Page(page).run()
    assert [f"{page}, block at line {text.count(chr(10), 0, text.rindex('```', 0, -4)) + 1}"] == caught.value.__notes__


def test_a_page_that_is_so_passes(tmp_path, monkeypatch):
    text = (
        "<!-- file: a.txt -->\n```text\nboat\n```\n"
        "```python\nimport asyncio\nfrom pathlib import Path\nboat = Path('a.txt').read_text()\n```\n"
        "```python\nawait asyncio.sleep(0)\nassert boat == 'boat\\n'\n```\n"
        "```console\n$ export X=1\n$ cometflux --version   # the version\n9.9.9\n```\n"
        "<!-- not run: it waits for Ctrl-C -->\n```console\n$ cometflux local-service\n```\n"
    )
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    assert 4 == Page(page).run()


@pytest.mark.hard
@pytest.mark.realtime
def test_a_test_on_a_page_that_fails_is_told(tmp_path, folder):
    page = tmp_path / "page.md"
    page.write_text("```python\ndef test_x():\n    assert 1 == 2\n```\n", encoding="utf-8")
    said, code = run([page], folder)
    assert 1 == code
    assert "the tests of the page fail" in said
