"""The command itself: help, version, what it imports, and what it says of the models."""

import functools
import inspect
import json
import re
import subprocess
import sys
from contextlib import closing

import job_states
import pytest
from waiting import PATIENCE

import cometflux
from cometflux import flux
from cometflux.cli import main
from cometflux.cli.app import COMMANDS, app
from cometflux.journal.place import FILE_NAME
from cometflux.journal.writer import JournalWriter
from cometflux.models import docs
from cometflux.testing import FAULTS


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def python(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_the_version_is_the_package_s(capsys):
    assert 0 == main(["--version"])
    assert cometflux.__version__ == capsys.readouterr().out.strip()


def test_without_arguments_the_commands_are_listed(capsys):
    assert 0 == main([])
    shown = capsys.readouterr().out
    commands = [
        "generate",
        "batch",
        "resume",
        "status",
        "unknown",
        "gallery",
        "models",
        "show",
        "get",
        "save",
        "mcp",
        "local-service",
        "config",
        "completion",
    ]
    listed = re.findall(r"^│ ([a-z][a-z-]+) ", shown, re.MULTILINE)
    assert commands == [name for name in listed if name in commands]


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["models"]], ids=" ".join)
def test_help_and_models_do_not_load_what_talks_to_the_network(arguments):
    program = (
        "import sys\n"
        "from cometflux.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "assert 'rich' in sys.modules\n"
        "loaded = {'aiohttp', 'backoff', 'cattrs', 'PIL'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {loaded}' if loaded else code)"
    )
    done = python(program, *arguments)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_the_list_of_commands_loads_none_of_them(arguments):
    program = (
        "import sys\n"
        "from cometflux.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "loaded = [name for name in sys.modules if name.startswith('cometflux.cli.commands.')]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else code)"
    )
    done = python(program, *arguments)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_wrong_command_line_changes_no_help():
    before = [app[command.name].help for command in COMMANDS]
    assert 2 == main(["nosuch"])
    assert before == [app[command.name].help for command in COMMANDS]


_LATE = (
    *("aiohttp", "asyncio", "backoff", "cattrs", "multiprocessing", "PIL", "subprocess", "tomllib"),
    *("cometflux.engine", "cometflux.events", "cometflux.flux", "cometflux.models.flux", "cometflux.outcomes"),
    *("cometflux.session", "cometflux.sources.rows", "cometflux.testing.faults", "cometflux.transport"),
    *("cometflux.cli.terminal.progress_bar", "rich.live", "rich.progress"),
)
"""The modules that a command of a moment must not load: together they take longer than the command itself."""
_NO_JOURNAL = ("sqlite3", "cometflux.journal", "cometflux.storage")
_COPIES = ("bz2", "lzma", "tempfile")
"""What only the upgrade of an old journal needs."""


@pytest.mark.parametrize(
    ("line", "late"),
    [
        ("--help", (*_LATE, *_NO_JOURNAL)),
        ("--version", (*_LATE, *_NO_JOURNAL, "rich.table")),
        ("status DIR", (*_LATE, *_COPIES)),
        ("status DIR --json", (*_LATE, *_COPIES)),
        ("status DIR/nowhere", (*_LATE, *_COPIES)),
    ],
)
def test_a_command_of_a_moment_loads_nothing_that_it_does_not_use(line, late, tmp_path):
    with closing(JournalWriter(tmp_path / FILE_NAME)) as writer:
        writer.open()
        writer.commit([job_states.plan(0)], ())
    program = (
        "import sys\n"
        "from cometflux.cli import main\n"
        "late, *arguments = sys.argv[1:]\n"
        "main(arguments)\n"
        "print('loaded:', *sorted(set(late.split()) & set(sys.modules)))"
    )
    done = python(program, " ".join(late), *line.replace("DIR", str(tmp_path)).split())
    assert "loaded:" == done.stdout.splitlines()[-1]


@pytest.mark.parametrize("command", ["generate", "batch"])
def test_the_whole_help_has_an_example_and_one_short_line_for_each_parameter_of_a_model(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == main([command, "--help-all"])
    shown = capsys.readouterr().out
    assert f"  cometflux {command} " in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    start, end = shown.index("Model parameters"), shown.rindex("─╯")
    lines = [line.split()[1] for line in shown[start:end].splitlines() if " --" in line]
    assert [f"--{name.replace('_', '-')}" for name in docs.all_parameters()] == lines
    # Three lines introduce and end the group; one name is so long that what it takes stands below it.
    assert len(lines) + 5 == len(shown[start:end].splitlines())


def pages(app=app, path=()):
    """Every command, as it is written."""
    yield path
    for name in app:
        if not name.startswith("-"):
            yield from pages(app[name], (*path, name))


def test_the_first_help_fits_a_screen_and_a_command_is_on_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 24
    listed = [line for line in lines if line.startswith("│ ")]
    assert [name for name in app if not name.startswith("-")] == [line.split()[1] for line in listed]


def test_the_list_has_the_first_line_of_each_page():
    pages = {command.name: app[command.name].help.splitlines()[0] for command in COMMANDS}
    assert pages == {command.name: command.summary for command in COMMANDS}


@pytest.mark.slow
@pytest.mark.parametrize("words", list(pages()), ids=" ".join)
def test_each_help_shows_an_example_of_its_command_and_fits_80_columns(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == main([*words, "--help"])
    shown = capsys.readouterr().out
    assert f"  {' '.join(['cometflux', *words])}" in shown
    lines = [line.rstrip() for line in shown.splitlines()]
    assert all(len(line) <= 80 for line in lines)
    assert sum(line in ("For example:", "Example:", "Examples:") for line in lines) <= 1
    # No line is too long and broken in two.
    written = functools.reduce(lambda page, name: page[name], words, app).help
    assert [] == [line for line in inspect.cleandoc(written).splitlines() if line not in lines]


@pytest.mark.parametrize("command", ["generate", "batch", "resume"])
def test_the_first_screen_of_a_long_help_shows_usage_example_and_main_options(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"Usage: cometflux {command} ")
    screen = "\n".join(lines[:24])
    assert f"\n  cometflux {command} " in screen
    assert "--local " in screen
    assert "`--help-all` explains every option." == lines[-1]


def test_the_short_help_names_every_option_and_leaves_what_most_do_to_the_whole_one(capsys):
    main(["generate", "--help"])
    short = capsys.readouterr().out
    main(["generate", "--help-all"])
    whole = capsys.readouterr().out
    assert set(re.findall(r"--[a-z-]+", whole)) <= set(re.findall(r"--[a-z-]+", short))
    for about in ("Width to height", "Rate limit: maximum polls"):
        assert about in whole
        assert about not in short


@pytest.mark.parametrize("command", ["resume", "status", "unknown"])
def test_help_of_what_works_on_a_folder_has_an_example_and_fits_a_narrow_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == main([command, "--help"])
    shown = capsys.readouterr().out
    assert f"  cometflux {command} prompts-images" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_help_of_the_local_service_names_the_faults(capsys):
    assert 0 == main(["local-service", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Faults: {', '.join(FAULTS)}" == shown[shown.index("Faults: ") :]


def test_help_marks_the_prompts_as_required(capsys):
    assert 0 == main(["generate", "--help"])
    assert "The prompts, each in quotes. [required]" in capsys.readouterr().out


@pytest.mark.parametrize("missing", ["cyclopts", "rich"])
def test_without_its_extra_the_command_says_what_to_install(missing):
    program = f"import sys; sys.modules[{missing!r}] = None; from cometflux.cli import main; sys.exit(main())"
    done = python(program, "--help")
    assert (3, "", 'the command needs an extra: pip install "cometflux[cli]"\n') == (
        done.returncode,
        done.stdout,
        done.stderr,
    )


def test_without_pillow_the_local_service_says_what_to_install(tmp_path):
    program = "import sys; sys.modules['PIL'] = None; from cometflux.cli import main; sys.exit(main())"
    done = python(program, "generate", "a fox", "--local", "--out", str(tmp_path))
    assert (3, 'error: --local needs an extra: pip install "cometflux[cli,local]"\n') == (done.returncode, done.stderr)


# The models.


def test_models_lists_every_model_with_its_class_and_reference_image(capsys):
    assert 0 == main(["models"])
    lines = capsys.readouterr().out.splitlines()
    assert ["model", "class", "parameters", "reference", "images", "price"] == lines[0].split()
    assert [docs.slug(name) for name in flux.MODELS] == [line.split()[0] for line in lines[1:-2]]
    assert "flux-dev flux.Dev 13 image 1 to 4 -" in [" ".join(line.split()) for line in lines]


def test_models_as_json_is_one_object_per_line(capsys):
    assert 0 == main(["models", "--json"])
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert list(flux.MODELS) == [record["model"] for record in records]
    for record in records:
        assert [each.name for each in flux.parameters(record["model"])] == record["parameters"]


@pytest.mark.parametrize("name", ["flux-dev", "dev", "Dev", "black-forest-labs/flux-dev"])
def test_a_model_s_parameters_are_shown_with_range_default_and_help(name, capsys):
    assert 0 == main(["models", name])
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "flux-dev: up to four images at once, from text or from one image." == shown[0]
    assert "num_inference_steps 1 to 50 28 Denoising steps, 1 to 50; 28 unless given." in shown
    assert any(line.startswith("output_format webp, jpg, png webp File format;") for line in shown)


def test_a_model_s_parameters_as_json_are_complete(capsys):
    assert 0 == main(["models", "2-flex", "--json"])
    records = {each["name"]: each for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert [each.name for each in flux.parameters("2-flex")] == list(records)
    assert {
        "name": "guidance",
        "type": "number",
        "required": False,
        "default": 4.5,
        "choices": None,
        "minimum": 1.5,
        "maximum": 10,
        "most": None,
        "help": "How closely to follow the prompt, 1.5 to 10; 4.5 unless given.",
    } == records["guidance"]


def test_every_parameter_has_a_help_text():
    for model in flux.MODELS.values():
        texts = docs.parameter_texts(model)
        assert all(texts[each.name] for each in flux.parameters(model))
    assert all(docs.short_text(name, takers) for name, takers in docs.all_parameters().items())


def test_a_help_text_is_that_of_the_nearest_class():
    assert docs.parameter_texts(flux.Flux2Flex)["input_images"].startswith("Up to 10 images")
    assert docs.parameter_texts(flux.Flux2Pro)["input_images"].startswith("Up to 8 images")
