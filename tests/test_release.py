"""What a release consists of: one version, a dated section in the changelog, and files that name what exists."""

import re
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
