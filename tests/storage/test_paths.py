"""Paths as a caller gives them: what is no path is one clear error, and ~ is the home folder everywhere."""

from functools import partial
from pathlib import Path

import pytest

from cometflux import open_session, open_store
from cometflux.errors import ConfigError
from cometflux.export import OutcomeTable, export_folder
from cometflux.gallery import write_gallery, write_sheet
from cometflux.sources import read_jobs, read_pictures, read_schema
from cometflux.sources.schema_files import read_schemas

CALLS = {
    "a gallery": write_gallery,
    "a sheet": write_sheet,
    "the file of a sheet": partial(write_sheet, "."),
    "pictures": read_pictures,
    "an export": lambda given: export_folder(given, "out"),
    "the place of an export": lambda given: export_folder(".", given),
    "the folder of prompts": lambda given: read_jobs("a.csv", folder=given),
    "a schema": lambda given: read_schema(given, model="a/b"),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Path("a.csv").write_text("prompt\na fox\n")


@pytest.mark.parametrize("given", [5, b"tour", "", " ", ["tour"]], ids=repr)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_is_not_a_path_is_refused(call, given):
    before = sorted(Path().rglob("*"))
    with pytest.raises(ConfigError, match="must be a path"):
        call(given)
    assert before == sorted(Path().rglob("*"))


async def test_a_folder_in_the_home_folder_is_found_again_by_all(service, tmp_path):
    async with open_session(api_key=service.key, base_url=service.url, journal="~/tour") as session:
        async for _ in session.generate(["a fox"], save_to="~/tour"):
            pass
    home = tmp_path / "home"
    assert home / "tour/index.html" == write_gallery("~/tour")
    assert [home / "tour/00000-a-fox.webp"] == [each.path for each in read_pictures("~/tour")]
    assert home / "out" == export_folder("~/tour", "~/out").folder
    assert [home / "a.png"] == write_sheet("~/tour", "~/a.png")


def test_the_home_folder_of_nobody_is_one_error():
    for call in (write_gallery, read_pictures, lambda given: read_schemas([given], "a/b")):
        with pytest.raises(ConfigError, match="must not begin with ~: no home folder is known"):
            call("~nobody-of-this-name/tour")


@pytest.mark.parametrize("given", [5, b"x", ["x"], Path("x")], ids=repr)
@pytest.mark.parametrize(
    ("call", "told"),
    [
        (open_store, "must be a URL such as s3://bucket/prefix"),
        (lambda given: write_gallery(".", public_url=given), "must be an https URL"),
        (lambda given: export_folder(".", "out", form=given), "must be one of imagefolder"),
        (lambda given: export_folder(".", "out", caption=given), "must be a function of a picture's fields"),
        (lambda given: read_jobs("a.csv", schemas=given), "must be a list of schemas, each as read_schema returns it"),
        (OutcomeTable, "must be outcomes, as generate yields them"),
    ],
    ids=["a store", "a public URL", "a form", "a caption", "schemas", "outcomes"],
)
def test_what_has_another_type_is_one_error(call, told, given):
    with pytest.raises(ConfigError, match=told):
        call(given)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda given: export_folder(".", given), "cannot be written: File name too long"),
        (lambda given: write_sheet(".", f"{given}/a.png"), "there is no folder"),
        (lambda given: read_jobs("a.csv", wildcards=given), "must be the folder of the lists"),
        (lambda given: read_schemas([given], "a/b"), "it cannot be read"),
    ],
    ids=["an export", "a sheet", "wildcards", "a schema"],
)
def test_a_name_that_is_too_long_is_one_error(call, told):
    with pytest.raises(ConfigError, match=told):
        call("x" * 300)
