"""Of how an image was made, nothing is handed on that concerns the machine."""

import pytest

from cometflux.protocol.encoding import MissingBytes
from cometflux.provenance.portable import portable_record

PNG = b"\x89PNG\r\n\x1a\n"


def record(prompt="a boat", **values):
    return {"model": "m/x", "input": {"prompt": prompt, **values}, "prediction": {"id": "p1"}}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("/home/anna/secret plans/boat.png", "boat.png", id="a path"),
        pytest.param("~/boat.png", "boat.png", id="a path at home"),
        pytest.param("file:///home/anna/boat.png", "boat.png", id="a file as a URL"),
        pytest.param("C:\\Users\\anna\\boat.png", "boat.png", id="a path of Windows"),
        pytest.param("\\\\server\\anna\\boat.png", "boat.png", id="a share"),
        pytest.param("https://anna:pw@x.test/a/boat.png?sig=s3cret#f", "https://x.test/a/boat.png", id="a signed URL"),
        pytest.param("https://x.test/boat.png", "https://x.test/boat.png", id="a URL"),
        pytest.param("HTTPS://anna:pw@x.test/a.png?sig=s3cret", "https://x.test/a.png", id="a URL in capitals"),
        pytest.param("https://x.test/my boat.png?sig=s3cret", "https://x.test/my boat.png", id="a URL with a space"),
        pytest.param("s3://id:pw@x/a.png?sig=s3cret", "s3://x/a.png", id="a URL of a store"),
        pytest.param("FILE:///home/anna/boat.png", "boat.png", id="a file as a URL in capitals"),
        pytest.param("~anna/boat.png", "boat.png", id="a path at somebody's home"),
        pytest.param("16:9", "16:9", id="a ratio"),
        pytest.param("owner/weights", "owner/weights", id="a name with a slash"),
        pytest.param("m:1", "m:1", id="a name with a colon"),
        pytest.param(3.5, 3.5, id="a number"),
        pytest.param(["/a/b.png", None, {"deep": "/c/d.png"}], ["b.png", None, {"deep": "d.png"}], id="what lies deep"),
    ],
)
@pytest.mark.parametrize("name", ["image", "input_images", "image_prompt"])
def test_of_a_value_only_what_concerns_others_is_left(name, value, shown):
    assert shown == portable_record(record(**{name: value}))["input"][name]


def test_of_files_the_names_and_of_bytes_the_digests_are_left(tmp_path):
    path = tmp_path / "boat.png"
    shown = portable_record(record(image=path, image_prompt=path, mask=PNG, gone=MissingBytes(bytes=3)))["input"]
    assert "boat.png" == shown["image"] == shown["image_prompt"]
    assert {"type", "bytes", "sha256"} == set(shown["mask"])
    assert {"bytes": 3} == shown["gone"]


def test_a_prompt_is_left_as_it_is():
    shown = portable_record(record("/imagine a boat", negative_prompt="/no fog"))["input"]
    assert {"prompt": "/imagine a boat", "negative_prompt": "/no fog"} == shown


def test_the_sidecars_facts_about_the_file_are_left_out():
    shown = portable_record({**record(), "file": "a.png", "sha256": "0" * 64, "embedded": True})
    assert {"key", "index", "model", "input", "prediction"} == set(shown)
