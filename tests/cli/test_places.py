"""The command in places that lack something: a home folder, or the folder that it was started in."""

import io
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


@every_command
def test_no_command_needs_a_home_folder(arguments, homeless, service, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    needs_pictures = arguments[0] in ("resume", "status", "unknown", "gallery", "show")
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
