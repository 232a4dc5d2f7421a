"""What the tests remember of the command's options is what the command would describe anew."""

import known_options
import pytest
from cyclopts import App, CycloptsError
from cyclopts.argument import Argument

from cometflux.cli.app import COMMANDS, app
from cometflux.cli.errors import UsageError

pytestmark = pytest.mark.slow

LINES = [
    "batch a.csv --yes --count 3 --model dev",
    "batch a.csv",
    "batch a.csv --count many",
    "batch --nonsense",
    "generate a-fox an-owl --seed 7 --input a=b --input c=d",
    "generate a-fox",
    "resume out --limit 2 --json",
    "models dev",
]


def bound(line):
    try:
        return app.parse_args(line.split(), print_error=False, exit_on_error=False)[1].arguments
    except (CycloptsError, UsageError) as error:
        return type(error), str(error)


def test_a_command_line_leaves_nothing_for_the_next(monkeypatch):
    remembered = [bound(line) for line in (*LINES, *LINES)]
    monkeypatch.setattr(App, "assemble_argument_collection", known_options._describe)
    monkeypatch.setattr(Argument, "negatives", property(known_options._find_negatives))
    assert remembered == [bound(line) for line in (*LINES, *LINES)]


@pytest.mark.parametrize("name", [command.name for command in COMMANDS if app[command.name].default_command])
def test_each_option_is_described_alike(name):
    anew, remembered = [
        [(each.names, each.hint, each.required, [child.names for child in each.children]) for each in described]
        for described in (known_options._describe(app[name]), app[name].assemble_argument_collection())
    ]
    assert anew == remembered
