"""The package's page on the package index, from the metadata that a build writes."""

import re
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import cometflux

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOURCE = "https://forge.example/team/cometflux"
TREE = f"{SOURCE}/blob/v{cometflux.__version__}/"
PICTURES = f"{SOURCE}/raw/v{cometflux.__version__}/"

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")
_OTHER_FORMS = re.compile(r"^\[[^\]]+\]:|\b(?:href|src|srcset)=", re.MULTILINE)


@pytest.fixture
def build(monkeypatch):
    """Return the metadata of a build from an address of the source, or from none."""

    def metadata(source):
        monkeypatch.delenv("SOURCE_URL", raising=False)
        if source is not None:
            monkeypatch.setenv("SOURCE_URL", source)
        return ProjectMetadata(str(ROOT), PluginManager()).core

    return metadata


def links_of(page):
    """Return each link as whether it is a picture, and its target; code is left out."""
    return [(bool(mark), target) for mark, target in _INLINE.findall(_FENCE.sub("", page))]


def test_the_readme_has_links_of_one_form():
    assert len(links_of(README)) > 20
    assert [] == _OTHER_FORMS.findall(_FENCE.sub("", README))


@pytest.mark.parametrize("source", [SOURCE, SOURCE + "/"])
def test_every_link_and_picture_is_absolute_and_leads_to_a_file_of_this_version(build, source):
    links = links_of(build(source).readme)
    assert len(links) == len(links_of(README))
    for is_picture, target in links:
        assert target.startswith("https://"), target
        if target.startswith(SOURCE):
            path, _, fragment = target.removeprefix(PICTURES if is_picture else TREE).partition("#")
            assert (ROOT / path).is_file(), target
            assert not fragment or fragment in anchors((ROOT / path).read_text(encoding="utf-8"))


def anchors(page):
    """Return the fragments of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_without_an_address_of_the_source_no_link_is_dead(build):
    page = build(None).readme
    assert [] == [target for _, target in links_of(page) if not target.startswith("https://")]
    for word in ("Contributing", "1.1 to 1.6 times the CPU"):
        assert word in page
    assert {} == build(None).urls


def test_only_links_are_changed(build):
    pages = [README, build(SOURCE).readme]
    assert _FENCE.findall(pages[0]) == _FENCE.findall(pages[1])
    assert 1 == len({_INLINE.sub("", _FENCE.sub("", page)) for page in pages})


def test_the_addresses_of_the_project_come_from_the_address_of_the_source(build):
    assert build(SOURCE).urls == {
        "Source": SOURCE,
        "Documentation": f"{TREE}docs/index.md",
        "Changelog": f"{TREE}CHANGELOG.md",
        "Issues": f"{SOURCE}/issues",
    }


@pytest.mark.parametrize("address", ["http://forge.example/team", "forge.example/team", "https://", " "])
def test_an_address_that_is_not_https_fails_the_build(build, address):
    with pytest.raises(ValueError, match=r"^SOURCE_URL=.*: must be an https address"):
        _ = build(address).readme
