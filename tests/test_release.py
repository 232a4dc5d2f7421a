"""What a release consists of: one version, a dated section in the changelog, and files that name what exists."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import cometflux

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION = cometflux.__version__
FORGE_FILES = sorted(
    str(path.relative_to(ROOT))
    for path in [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / ".readthedocs.yaml"]
)
WORKFLOWS = [name for name in FORGE_FILES if "/workflows/" in name]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def newest_section():
    """Return the version and the date of the first section of the changelog."""
    return re.search(r"^## \[(.+?)\](?: - (\S+))?$", read("CHANGELOG.md"), re.MULTILINE).groups()


def test_the_version_is_in_one_place():
    assert "version" in PROJECT["project"]["dynamic"]
    assert {"path": "cometflux/__init__.py"} == PROJECT["tool"]["hatch"]["version"]


def test_the_newest_section_of_the_changelog_is_this_version_with_its_date():
    version, date = newest_section()
    assert VERSION == version
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)


def test_the_project_has_no_file_that_a_trial_left():
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT)
    packed = {*PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]} - {"/*.md"}
    known = packed | {path.name for path in ROOT.glob("*.md")} | {".ci", ".gitignore", "LICENSE", "pyproject.toml"}
    assert {"hatch_build.py"} == {name.partition("/")[0] for name in listed.stdout.splitlines()} - known


def test_a_citation_names_this_version_and_its_date():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert newest_section() == (citation["version"], citation["date-released"].isoformat())
    assert PROJECT["project"]["license"] == citation["license"]
    assert {"cff-version", "message", "title", "type", "authors", "abstract"} <= set(citation)


@pytest.mark.parametrize("arguments", [["--version"], ["models", "flux-2-pro"], ["models", "no-such"]], ids=" ".join)
def test_python_m_runs_the_command(arguments):
    runs = [
        subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, cwd=ROOT)
        for module in ("cometflux", "cometflux.cli")
    ]
    assert runs[1].stdout + runs[1].stderr
    assert (runs[1].returncode, runs[1].stdout, runs[1].stderr) == (runs[0].returncode, runs[0].stdout, runs[0].stderr)


def steps_of(workflow):
    """Return each step of a workflow with its job."""
    return [(job, step) for job in yaml.safe_load(read(workflow))["jobs"].values() for step in job["steps"]]


def targets():
    """Return the targets of the Makefile."""
    names = re.search(r"^PYTHONS := (.+)$", read("Makefile"), re.MULTILINE)[1].split()
    return {*re.findall(r"^([a-z0-9-]+):(?!=)", read("Makefile"), re.MULTILINE), *(f"test-{name}" for name in names)}


def called_targets(text, before="^"):
    """Return the targets of each ``make …`` that begins after *before*, without variables and options."""
    calls = re.findall(rf"(?:{before})make((?: +[^\s`|;&>]+)+)", text, re.MULTILINE)
    return {word for call in calls for word in call.split() if not word.startswith("-") and "=" not in word}


@pytest.mark.parametrize("name", FORGE_FILES)
def test_a_file_for_the_forge_is_a_mapping_that_is_not_empty(name):
    assert {} != dict(yaml.safe_load(read(name)))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_calls_targets_that_exist(name):
    called = set().union(*(called_targets(step.get("run", "")) for _, step in steps_of(name)))
    assert called
    assert called <= targets()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md"])
def test_a_page_names_targets_that_exist(name):
    assert called_targets(read(name), r"`|\$ ") <= targets()


def test_the_hooks_are_targets():
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    assert {"lint", "types"} == called_targets("\n".join(hook["entry"] for hook in hooks)) & targets()


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_fixes_the_commit_of_each_action_and_has_no_secret(name):
    uses = re.findall(r"uses: (.+)$", read(name), re.MULTILINE)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    assert "secrets." not in read(name)
    assert {"contents": "read"} == yaml.safe_load(read(name))["permissions"]


def test_one_action_has_one_commit():
    pins = {pin for name in WORKFLOWS for pin in re.findall(r"uses: (\S+)", read(name))}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins})


def test_the_tests_run_on_each_system_and_on_each_python_that_is_promised():
    matrix = yaml.safe_load(read(".github/workflows/tests.yml"))["jobs"]["test"]["strategy"]["matrix"]
    assert ["ubuntu-latest", "macos-latest", "windows-latest"] == matrix["os"]
    promised = [c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", c)]
    assert promised == matrix["python"]
    assert PROJECT["project"]["requires-python"] == f">={promised[0]}"


def test_only_the_job_that_publishes_has_the_identity_that_the_index_trusts():
    jobs = yaml.safe_load(read(".github/workflows/publish.yml"))["jobs"]
    assert ["publish"] == [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})]
    assert "release" == jobs["publish"]["environment"]
    assert [] == [step for step in jobs["publish"]["steps"] if "run" in step]


def test_a_package_holds_every_file_that_its_tests_read():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {".github", ".pre-commit-config.yaml", ".readthedocs.yaml", "/*.md", "CITATION.cff", "Makefile"} <= set(
        included
    )


@pytest.mark.parametrize("name", [name for name in FORGE_FILES if "ISSUE_TEMPLATE" in name and "config" not in name])
def test_a_form_has_questions_with_unique_ids_and_labels(name):
    form = yaml.safe_load(read(name))
    questions = [field for field in form["body"] if field["type"] != "markdown"]
    assert {"name", "description", "body"} <= set(form)
    assert len(questions) == len({field["id"] for field in questions})
    assert len(questions) == len({field["attributes"]["label"] for field in questions})
    assert any(field.get("validations", {}).get("required") for field in questions)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")
def test_the_changes_of_this_version_are_printed_from_its_heading_on():
    done = subprocess.run(["make", "--silent", "changes"], capture_output=True, text=True, cwd=ROOT, check=True)
    version, date = newest_section()
    assert f"## [{version}] - {date}" == done.stdout.splitlines()[0]
    assert [] == re.findall(r"^## ", done.stdout, re.MULTILINE)[1:]


def test_the_list_of_targets_says_how_long_each_takes():
    listed = re.findall(r"^([a-z0-9-]+):.*## (.+)$", read("Makefile"), re.MULTILINE)
    assert len(listed) > 15
    assert [] == [name for name, text in listed if not re.search(r" \(([^()]+)\)$", text)]
