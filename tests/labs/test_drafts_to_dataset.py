"""The page on drafts, done from its first command to its last: in a real browser, and read by datasets itself.

`make test-readers` has datasets.
"""

import json
import re
import shlex
from pathlib import Path

import command_process
import pytest
from chromium import chromium
from gallery_sight import badges, looking, press, wait_for
from waiting import PATIENCE

from cometflux.testing import LocalService

datasets = pytest.importorskip("datasets", reason="datasets is not installed: make test-readers")
pytestmark = [pytest.mark.hard, pytest.mark.realtime, pytest.mark.filterwarnings("ignore")]

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "drafts.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [shlex.split(line) for line in re.findall(r"^\$ cometflux (.+)$", PAGE, re.MULTILINE)]
(LOADING,) = re.findall(r"^```py\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    with LocalService.in_thread(latency=0.05, pixels=4096) as service:
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        yield service
    command_process.kill_all()


def do(arguments):
    process = command_process.start(*arguments)
    out, err = process.communicate(timeout=PATIENCE)
    assert 0 == process.returncode, err
    return out


def marks(text):
    return {each["file"]: each["mark"] for each in map(json.loads, text.splitlines())}


def choose(sight, *keys):
    """Press keys from the first card on, and return the marks once the folder has them."""
    page = sight.page
    page.locator(".card").first.focus()
    press(page, *keys)
    picks = Path("drafts/picks.jsonl")
    shown = len(list(filter(None, badges(page))))
    wait_for(sight, lambda: picks.exists() and shown == len(marks(picks.read_text())))
    return marks(picks.read_text())


def test_drafts_chosen_by_keyboard_are_finished_exported_and_loaded_and_nothing_is_paid_twice(service):
    draft, serve, look, finish, again, export = COMMANDS
    assert (["gallery", "drafts", "--serve"], "--dry-run", finish) == (serve, look.pop(), again)
    for name in ("drafts.yaml", "finish.csv"):
        Path(name).write_text(FILES[name])

    do(draft)
    assert 8 == len(service.bills)
    with chromium() as browser, looking(browser) as open_page:
        serving = command_process.start(*serve)
        sight = open_page(serving.stdout.readline().strip())
        right = "ArrowRight"
        chosen = choose(sight, "1", "0", right, right, "1", right, "x", right, right, "1")
        assert marks(FILES["drafts/picks.jsonl"]) == chosen
        do([*finish, "--dry-run"])
        assert 8 == len(service.bills)
        do(finish)
        assert 8 + 4 == len(service.bills)
        do(again)
        assert 8 + 4 == len(service.bills)

        assert 4 == len(choose(sight, right, "1"))
        do(again)
        assert 8 + 4 + 2 == len(service.bills)

    do(export)
    names = {}
    exec(compile(LOADING, "drafts.md", "exec"), names)
    pictures = names["pictures"]
    assert 6 == len(pictures)
    assert {"image", "key", "from", "text", "model", "prompt", "seed"} <= {*pictures.column_names}
    starred = {
        "00001-a-lighthouse-in-gouache.webp",
        "00002-a-lighthouse-in-ink.webp",
        "00005-a-ferry-in-gouache.webp",
    }
    assert {
        (name, f"black-forest-labs/{model}") for name in starred for model in ("flux-kontext-pro", "flux-2-pro")
    } == {(each["from"], each["model"]) for each in pictures}
    assert {"a lighthouse in ink", "the same scene as a linocut print"} < {each["text"] for each in pictures}
    assert all(min(each["image"].size) > 1 for each in pictures)
