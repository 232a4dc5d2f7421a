"""The reference of the command cannot drift from the command."""

import re
from pathlib import Path

import attrs
import pytest

from cometflux import events
from cometflux.cli import main
from cometflux.cli.app import app
from cometflux.cli.batch.statistics import RunStatistics
from cometflux.cli.commands.reference_page import renewed
from cometflux.cli.config.read_settings import SETTINGS
from cometflux.cli.exit_codes import ExitCode
from cometflux.journal.costs import CostSum, describe_estimate
from cometflux.outcomes import OutcomeKind

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "command.md").read_text(encoding="utf-8")
GUIDE = (DOCS / "guides" / "configuration.md").read_text(encoding="utf-8")


def commands(parent=app, words=()):
    for name in parent:
        if not name.startswith("-"):
            yield (*words, name)
            yield from commands(parent[name], (*words, name))


def section(title):
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_reference_is_what_the_commands_say_of_themselves():
    assert PAGE == renewed(PAGE), "write it anew: python -m cometflux.cli.commands.reference_page docs/command.md"


@pytest.mark.slow
@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_and_each_of_its_options_stands_in_the_reference(words, capsys, monkeypatch):
    """As the help shows them, not as the reference was made."""
    monkeypatch.setenv("COLUMNS", "200")
    assert 0 == main([*words, "--help-all"])
    shown = capsys.readouterr().out
    if "╭─ Commands" not in shown:
        assert f"### cometflux {' '.join(words)}\n" in PAGE
    options = set(re.findall(r"^│ +(--[a-z-]+)", shown, re.MULTILINE))
    assert set() == {option for option in options if f"`{option}`" not in PAGE}


def test_a_page_without_its_marks_is_not_overwritten():
    with pytest.raises(ValueError, match="the page needs the lines"):
        renewed("# A page\n")


def test_every_key_of_the_report_is_explained():
    told = section("The report")
    keys = {*RunStatistics().summary(), *describe_estimate(CostSum())}
    keys |= {"jobs", "exit_code", "interrupted", "ended_by", "journal", "problems"}
    explained = {
        key for row in re.findall(r"^\| (`[^|]+) \|", told, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)
    }
    assert keys == explained


def test_every_event_of_the_log_is_explained():
    told = section("One object per event")
    for event in events.Event.__args__:
        (row,) = [line for line in told.splitlines() if line.startswith(f"| `{event.__name__.lower()}` ")]
        fields = {{"size": "bytes"}.get(field.name, field.name) for field in attrs.fields(event)}
        # A batch has each key once, and the attempts are for spans.
        fields -= {"job_id", "attempts"}
        assert set() == {name for name in fields if f"`{name}`" not in row}


def test_every_way_to_end_and_every_exit_code_is_explained():
    told = section("One object per outcome")
    assert set() == {kind.value for kind in OutcomeKind if f"`{kind.value}`" not in told}
    codes = re.findall(r"^\| (\d+) \|", section("Exit codes"), re.MULTILINE)
    assert [*map(str, map(int, ExitCode))] == codes


def test_every_setting_is_in_the_guide_with_what_a_project_may_say_of_it():
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", GUIDE, re.MULTILINE))
    expected = {each.name: "no" if each.is_own else "only to lower it" if each.is_cap else "yes" for each in SETTINGS}
    assert expected == rows
