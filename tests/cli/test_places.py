"""The command in places that lack something: a home folder, or the folder that it was started in."""

import io
import json
import os

import pytest

from cometflux.cli import main

# Each command once, as it would be used first.
COMMANDS = {
    "generate": ["generate", "fox", "--out", "pictures"],
    "batch": ["batch", "prompts.txt", "--out", "pictures"],
    "resume": ["resume", "pictures"],
    "status": ["status", "pictures"],
    "unknown": ["unknown", "pictures"],
    "gallery": ["gallery", "pictures"],
    "models": ["models"],
    "show": ["show", "pictures/00000-fox.png"],
    "get": ["get", "xyz123"],
    "mcp": ["mcp", "--out", "pictures"],
    "config": ["config", "show"],
    "config-path": ["config", "path"],
    "completion": ["completion", "bash"],
    "help": ["--help"],
}
every_command = pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture
def homeless(folder, monkeypatch):
    """A process without HOME, of a user whom the system's list of users does not have."""
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321_012)
    (folder / "prompts.txt").write_text("fox\n")
    return folder


@pytest.mark.slow
@every_command
def test_no_command_needs_a_home_folder(arguments, homeless, service, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    needs_pictures = arguments[0] in ("resume", "status", "unknown", "gallery", "show", "get")
    code = main(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert (code != 0) is needs_pictures, (out, err)


def test_a_repository_may_hold_the_configuration_even_without_a_home_folder(homeless, capsys, monkeypatch):
    below = homeless / "below"
    below.mkdir()
    (homeless / ".git").mkdir()
    (homeless / "cometflux.toml").write_text("limit = 7\n")
    monkeypatch.chdir(below)
    assert 0 == main(["config", "show", "--json"])
    assert '"limit": {"value": 7' in capsys.readouterr().out


def test_without_a_home_folder_no_other_folder_stands_for_it(homeless, capsys):
    """A folder that is named ~ belongs to whoever made the current folder."""
    own = homeless / "~" / ".config" / "cometflux"
    own.mkdir(parents=True)
    (own / "config.toml").write_text('base_url = "https://evil.example"\n')
    assert 0 == main(["config", "show", "--json"])
    assert "evil" not in capsys.readouterr().out
    assert 0 == main(["config", "path"])
    assert "user     none: no home folder is known; set HOME or XDG_CONFIG_HOME" in capsys.readouterr().out


@every_command
def test_in_a_deleted_folder_a_command_works_or_says_so_in_one_sentence(arguments, tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    code = main(arguments)
    err = capsys.readouterr().err
    if arguments[0] in ("models", "completion", "--help"):
        assert (0, "") == (code, err)
        return
    (line,) = err.splitlines()
    assert line.endswith("the current folder no longer exists; change to another one and run the command there")
    assert code not in (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["theirs", "[1]\n", '{"index": 0}\n', '{"began": "today"}', "\0", "\ufeff{}"])
@pytest.mark.parametrize("name", ["report.json", "manifest.jsonl"])
def test_a_file_of_the_user_s_is_not_touched_and_ours_gets_another_name(name, text, folder, service, capsys):
    (folder / "prompts.txt").write_text("fox\n")
    (folder / "out").mkdir()
    (folder / "out" / name).write_text(text)
    other = name.replace(".", ".cometflux.")
    for _ in range(2):
        assert 0 == main(["batch", "prompts.txt", "--out", "out"])
        assert text == (folder / "out" / name).read_text()
        assert f"note: out/{name} is not a file of cometflux and stays; the " in capsys.readouterr().err
        json.loads((folder / "out" / other).read_text())
    assert {"report.json", "manifest.jsonl"} <= {path.name for path in (folder / "out").iterdir()} | {other}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report.json", "manifest.jsonl"])
def test_our_own_file_is_replaced_and_so_is_an_empty_one(name, folder, service, capsys):
    (folder / "prompts.txt").write_text("fox\n")
    (folder / "out").mkdir()
    (folder / "out" / name).touch()
    for _ in range(2):
        assert 0 == main(["batch", "prompts.txt", "--out", "out"])
        assert "note:" not in capsys.readouterr().err
        (folder / "out" / name).write_text((folder / "out" / name).read_text() + "\n")
    assert [] == list((folder / "out").glob("*.cometflux.*"))


def test_where_both_names_are_taken_the_run_says_so(folder, service, capsys):
    (folder / "prompts.txt").write_text("fox\n")
    (folder / "out").mkdir()
    names = ("report.json", "report.cometflux.json", "manifest.jsonl", "manifest.cometflux.jsonl")
    for name in names:
        (folder / "out" / name).write_text("mine")
    assert 3 == main(["batch", "prompts.txt", "--out", "out"])
    err = capsys.readouterr().err
    assert "neither it nor report.cometflux.json is a file of cometflux; move one away" in err
    assert "neither it nor manifest.cometflux.jsonl is a file of cometflux; move one away" in err
    assert ["mine"] * 4 == [(folder / "out" / name).read_text() for name in names]
    assert 1 == len(service.bills)
