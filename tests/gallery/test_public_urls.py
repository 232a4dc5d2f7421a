"""Pictures in an object store are shown from their public URL, if one is given, and from nowhere else."""

import html
import re

import job_states
import pytest

from cometflux.cli import main
from cometflux.errors import ConfigError
from cometflux.gallery import write_gallery


@pytest.fixture
def stored(tmp_path):
    """A folder whose journal says that its pictures are in a bucket; one of the two was fetched."""
    saved = job_states.succeed(job_states.plan(0), tmp_path, job_states.picture(), job_states.picture())
    job_states.write(tmp_path, saved, place="s3://bucket/foxes")
    (tmp_path / "00000-2.png").unlink()
    return tmp_path


def pictures_of(text):
    return re.findall(r'<img src="([^"]*)"', text)


def images_allowed(text):
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    return dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))["img-src"]


def test_without_a_public_url_nothing_is_loaded_from_a_network(stored):
    text = write_gallery(stored).read_text()
    assert ["./00000-1.png"] == pictures_of(text)
    assert "'self' data: file:" == images_allowed(text)
    assert "kept elsewhere" in text


@pytest.mark.parametrize("url", ["https://images.example.org/fox%20es", "https://images.example.org/fox%20es/"])
def test_with_a_public_url_the_pictures_are_loaded_from_it_alone(url, stored):
    text = write_gallery(stored, public_url=url).read_text()
    assert ["./00000-1.png", "https://images.example.org/fox%20es/00000-2.png"] == pictures_of(text)
    assert "'self' data: file: https://images.example.org" == images_allowed(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a",
        "s3://bucket/foxes",
        "https://",
        "https://user:secret@example.org",
        "https://example.org/a?token=b",
        "https://example.org/a#b",
        "https://example.org; script-src *",
        "https://example.org/'a",
        "https://example.org/a b",
        "",
    ],
)
def test_a_url_that_is_not_public_https_is_one_error_and_nothing_is_written(url, stored):
    with pytest.raises(ConfigError, match="must be an https URL without user, query and fragment"):
        write_gallery(stored, public_url=url)
    assert not (stored / "index.html").exists()


def test_the_command_takes_the_url(stored, capsys):
    assert 0 == main(["gallery", str(stored), "--public-url", "https://images.example.org/foxes"])
    assert 2 == len(pictures_of((stored / "index.html").read_text()))
    assert 0 != main(["gallery", str(stored), "--public-url", "nonsense"])
    assert "must be an https URL" in capsys.readouterr().err
