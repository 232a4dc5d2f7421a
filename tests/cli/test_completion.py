"""Completion, by the shells themselves: what they offer where a person presses the tab key."""

import os
import re
import select
import shutil
import subprocess
import sys
import time

import pytest
from waiting import PATIENCE

from cometflux import flux
from cometflux.cli import main
from cometflux.models import docs

MODELS = [docs.slug(name) for name in flux.MODELS]


@pytest.fixture
def shell_folder(tmp_path, monkeypatch):
    """A folder with the command on the path, the shells' scripts, and something to complete."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "cometflux"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cometflux.cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boats.csv").write_text("prompt\na boat\n")
    (tmp_path / "boats-images").mkdir()
    return tmp_path


def script(shell, folder, capsys):
    assert 0 == main(["completion", shell])
    path = folder / f"script.{shell}"
    path.write_text(capsys.readouterr().out)
    return path


def bash_offers(folder, path, lines):
    """Ask bash what it offers behind each line."""
    asked = "\n".join(
        f"COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); COMPREPLY=(); _cometflux; "
        'printf "%s " "${COMPREPLY[@]}"; echo'
        for line in lines
    )
    program = f"set -u; source {path}; COMPREPLY=()\n{asked}\n"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "" == done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_bash_offers_commands_options_models_and_files(shell_folder, capsys):
    path = script("bash", shell_folder, capsys)
    offers = bash_offers(
        shell_folder,
        path,
        [
            'cometflux ""',
            "cometflux gen",
            "cometflux batch --retry",
            "cometflux config s",
            "cometflux completion z",
            "cometflux generate fox --model flux-k",
            "cometflux batch bo",
            "cometflux batch boats.csv --out bo",
            "cometflux generate fox --image bo",
        ],
    )
    files = ["boats-images", "boats.csv"]
    assert {"generate", "batch", "resume", "models", "config"} <= set(offers[0])
    assert ["generate"] == offers[1]
    assert ["--retry-failed"] == offers[2]
    assert ["show"] == offers[3]
    assert ["zsh"] == offers[4]
    assert ["flux-kontext-pro", "flux-kontext-max"] == offers[5]
    assert [files] * 3 == [sorted(each) for each in offers[6:]]


def test_bash_takes_a_name_with_a_blank_for_one(shell_folder, capsys):
    (shell_folder / "my boats.csv").write_text("prompt\na boat\n")
    path = script("bash", shell_folder, capsys)
    assert [["my", "boats.csv"]] == bash_offers(shell_folder, path, ["cometflux batch my"])
    asked = f"source {path}; COMP_WORDS=(cometflux batch my); COMP_CWORD=2; _cometflux; echo ${{#COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True)
    assert "1\n" == done.stdout


@pytest.mark.hard
def test_fish_offers_commands_options_models_and_files(shell_folder, capsys):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    path = script("fish", shell_folder, capsys)
    lines = ["resu", "models flux-kontext-m", "batch boats.c", "batch boats.csv --retry", "generate fox --resolution 1"]
    program = f"source {path}; " + "; ".join(f'complete -C "cometflux {line}"' for line in lines)
    done = subprocess.run(["fish", "--no-config", "-c", program], capture_output=True, text=True, check=False)
    offers = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert ["resume", "flux-kontext-max", "boats.csv", "--retry-failed", "1 MP"] == offers


@pytest.mark.hard
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_tab_key_completes(shell, shell_folder, capsys, monkeypatch):
    """In a shell that somebody types into, with nothing configured but the script."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = script(shell, shell_folder, capsys)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("HOME", str(shell_folder))
    monkeypatch.setenv("PS1", "> ")
    if shell == "zsh":
        path.rename(shell_folder / "_cometflux")
    command, first = {
        "bash": (["bash", "--norc", "--noprofile", "-i"], f"source {path}"),
        "zsh": (["zsh", "-f", "-i"], f"fpath=({shell_folder} $fpath); autoload -Uz compinit; compinit -u -D"),
    }[shell]
    with Typist(command) as typist:
        typist.type(f"{first}\n")
        typist.completes("cometflux resu", "me")
        typist.completes("cometflux models flux-kontext-m", "ax")
        typist.completes("cometflux batch boats.c", "sv")
        typist.completes("cometflux batch boats.csv --retry", "-failed")


class Typist:
    """Types into a shell on a terminal, and reads what it shows."""

    def __init__(self, command):
        import pty

        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)

    def __enter__(self):
        self.read(1.0)
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def type(self, text):
        os.write(self.ours, text.encode())
        return self.read(1.0)

    def completes(self, text, rest):
        """Type *text* and the tab key; *rest* is to come. Then wipe the line away."""
        os.write(self.ours, f"{text}\t".encode())
        shown, give_up = "", time.monotonic() + PATIENCE
        while rest not in shown.rpartition(text[-3:])[2] and time.monotonic() < give_up:
            shown += self.read(0.3)
        assert rest in shown.rpartition(text[-3:])[2], shown
        self.type("\x15")

    def read(self, quiet):
        """Read until nothing comes for so many seconds."""
        shown = b""
        while select.select([self.ours], [], [], quiet)[0]:
            try:
                shown += os.read(self.ours, 65536)
            except OSError:
                break
            # A shell that asks its terminal what it is waits for the answer.
            if re.search(rb"\x1b\[0?c", shown[-64:]):
                os.write(self.ours, b"\x1b[?62;c")
        return re.sub(r"\x1b(\[[0-9;?>=]*[a-zA-Z]|\][^\x07]*\x07|[=>(][B0]?)", "", shown.decode(errors="replace"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["completion"], 'Command "completion" parameter SHELL requires an argument.'),
        (["completion", "tcsh"], 'Invalid value "tcsh" for SHELL. Choose from: "bash", "zsh", "fish".'),
    ],
    ids=["none", "another"],
)
def test_a_shell_that_cannot_be_told_is_one_line(arguments, message, capsys):
    assert 2 == main(arguments)
    assert ("", f"error: {message}\n") == capsys.readouterr()
