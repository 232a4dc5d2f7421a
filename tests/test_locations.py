"""Addresses in object stores: which texts are valid, and the errors for those that are not."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cometflux.locations import Location, StoredFile, is_flattened, is_url


@pytest.mark.parametrize(
    ("given", "read"),
    [
        pytest.param("s3://bucket", "s3://bucket", id="a bucket"),
        pytest.param("s3://bucket/", "s3://bucket", id="a bucket with a slash"),
        pytest.param("s3://bucket/a/b", "s3://bucket/a/b", id="a prefix"),
        pytest.param("s3://bucket/a/b/", "s3://bucket/a/b", id="a prefix with a slash"),
        pytest.param("S3://Bucket/A", "s3://Bucket/A", id="a scheme in capitals"),
        pytest.param("gs://my_bucket.example.com/a", "gs://my_bucket.example.com/a", id="Google's names"),
        pytest.param("az://container/boats 2026/é", "az://container/boats 2026/é", id="a blank and an accent"),
    ],
)
def test_a_place_is_read_and_written_in_one_way(given, read):
    assert read == str(Location.of(given))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param("images", "must be a URL such as s3://bucket/prefix", id="a folder"),
        pytest.param("ftp://host/a", "nothing can be saved to ftp://; give the path of a folder, or s3://", id="ftp"),
        pytest.param("https://bucket.s3.amazonaws.com/a", "nothing can be saved to https://", id="https"),
        pytest.param("file:///tmp/a", "nothing can be saved to file://", id="a file"),
        pytest.param("s3://", "'' is not the name of a bucket", id="no bucket"),
        pytest.param("s3:///a", "'' is not the name of a bucket; must be s3://bucket/prefix", id="no bucket, a prefix"),
        pytest.param("s3://a b/c", "'a b' is not the name of a bucket", id="a blank in the bucket"),
        pytest.param("s3://bucket/a//b", "'a//b' leads elsewhere", id="two slashes"),
        pytest.param("s3://bucket/../b", "'../b' leads elsewhere", id="upwards"),
        pytest.param("s3://bucket/a?region=x", "has a control character or one of ? # \\", id="a query"),
        pytest.param("s3://bucket/a\nb", "has a control character", id="a line break"),
    ],
)
def test_a_text_that_is_not_a_location_is_refused(given, says):
    with pytest.raises(ValueError) as caught:
        Location.of(given)
    assert says in str(caught.value)


def test_a_password_in_a_url_is_refused_and_not_shown():
    with pytest.raises(ValueError, match="credentials come from the environment") as caught:
        Location.of("s3://AKIACANARY:secretcanary@bucket/a")
    assert "canary" not in str(caught.value).lower()


@settings(max_examples=30)
@given(st.text(max_size=20).map("s3://bucket/".__add__) | st.text(max_size=20))
def test_any_text_is_a_place_or_an_error(text):
    try:
        location = Location.of(text)
    except ValueError:
        return
    assert location == Location.of(str(location))


def test_a_file_shows_its_url():
    file = StoredFile(location=Location.of("s3://bucket/a"), name="x.png")
    assert ("s3://bucket/a/x.png", "x.png", "StoredFile('s3://bucket/a/x.png')") == (str(file), file.name, repr(file))


@pytest.mark.parametrize("given", ["images", "./s3", "C:\\images", "a:b/c", "s3:/bucket", ""])
def test_a_path_is_not_a_url(given):
    assert not is_url(given)


def test_a_url_that_was_taken_for_a_path_is_noticed():
    assert is_flattened(Path("s3://bucket/a").parts)
    assert not is_flattened(Path("/s3:/bucket").parts)
    assert not is_flattened(Path("s3:").parts)
