"""The pictures of a folder, handed on in other forms."""

import json
import shlex
import sys
import tarfile
from datetime import datetime
from pathlib import Path

import attrs
import job_states
import pyarrow.parquet
import pytest
from command_line import run
from dying_process import in_child

from cometflux.cli import main
from cometflux.errors import ConfigError
from cometflux.export import export_folder
from cometflux.export.pictures import align

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")
ROWS = ["a fox,flux-schnell,,3", "an owl,flux-dev,3.5,4", "a newt,flux-dev,2,"]


@pytest.fixture
def tour(service, folder):
    Path("a.csv").write_text("\n".join(["prompt,model,guidance,seed", *ROWS, ""]))
    assert 0 == main(shlex.split("batch a.csv --out tour"))
    return Path("tour")


def rows(path="out"):
    return [json.loads(line) for line in (Path(path) / "metadata.jsonl").read_text().splitlines()]


def names(path="out"):
    return sorted(each.name for each in Path(path).iterdir())


def pictures(folder):
    return sorted(path.name for path in folder.glob("0*") if path.suffix != ".json")


def test_an_imagefolder_has_every_picture_and_a_line_with_the_same_columns_for_each(tour, capsys):
    capsys.readouterr()
    run("export tour --to out")
    assert "out\n" == capsys.readouterr().out
    assert ["a fox", "an owl", "a newt"] == [row["text"] for row in rows()]
    assert {frozenset(rows()[0])} == {frozenset(row) for row in rows()}
    assert [None, 3.5, 2.0] == [row["guidance"] for row in rows()]
    assert [3, 4] == [row["seed"] for row in rows()][:2]
    assert isinstance(rows()[2]["seed"], int), "the service's own, from its logs"
    assert sorted([*pictures(tour), "metadata.jsonl"]) == names()
    assert all(datetime.fromisoformat(row["created_at"]).tzinfo for row in rows())
    for row in rows():
        assert (tour / row["file_name"]).read_bytes() == (Path("out") / row["file_name"]).read_bytes()


def test_captions_stand_next_to_the_pictures_and_may_use_any_column(tour):
    run('export tour --to out --as captions --caption "sks, {prompt} {guidance}"')
    texts = [path.read_text() for path in sorted(Path("out").glob("*.txt"))]
    assert ["sks, a fox \n", "sks, an owl 3.5\n", "sks, a newt 2.0\n"] == texts
    assert 6 == len(names())


def test_shards_hold_as_many_pictures_as_fit(tour):
    size = (tour / pictures(tour)[0]).stat().st_size
    export_folder(tour, "out", form="webdataset", shard_bytes=size + 1)
    assert ["000000.tar", "000001.tar", "000002.tar"] == names()
    with tarfile.open("out/000001.tar") as tar:
        stems = {name.partition(".")[0] for name in tar.getnames()}
        assert {"00001-an-owl"} == stems
        assert {"webp", "txt", "json"} == {name.partition(".")[2] for name in tar.getnames()}
        assert b"an owl" == tar.extractfile("00001-an-owl.txt").read()


def test_parquet_has_the_bytes_or_the_paths(tour):
    run("export tour --to out --as parquet")
    table = pyarrow.parquet.read_table("out/pictures.parquet")
    assert ["a fox", "an owl", "a newt"] == table["text"].to_pylist()
    image = table["image"][0].as_py()
    assert (tour / image["path"]).read_bytes() == image["bytes"]
    assert "Image" in table.schema.metadata[b"huggingface"].decode()
    run("export tour --to paths --as parquet --paths")
    paths = pyarrow.parquet.read_table("paths/pictures.parquet")["image"].to_pylist()
    assert all(Path(path).exists() for path in paths)


def test_only_the_pictures_with_a_star_are_taken(tour):
    first, second, third = pictures(tour)
    marks = [(first, "star"), (second, "star"), (second, "reject"), (third, "none")]
    (tour / "picks.jsonl").write_text("".join(f'{{"file": "{name}", "mark": "{mark}"}}\n' for name, mark in marks))
    run("export tour --to out --picks")
    assert [first] == [row["file_name"] for row in rows()]


@pytest.mark.slow
def test_a_star_on_a_picture_that_was_made_again_stays_good_with_the_prompt_that_it_has(tour):
    first, second, _ = pictures(tour)
    Path("again.csv").write_text("prompt,key,model,seed\na red fox,#00000,flux-schnell,3\n")
    run("resume tour --redo-from again.csv --yes")
    run("resume tour --redo '#00000' --yes")
    newest = pictures(tour)[1]
    (tour / "picks.jsonl").write_text("".join(f'{{"file": "{name}", "mark": "star"}}\n' for name in [first, newest]))
    run("export tour --to out --picks")
    assert [(first, "a fox"), (newest, "a red fox")] == [(row["file_name"], row["text"]) for row in rows()]
    run("export tour --to last")
    assert [newest, second] == [row["file_name"] for row in rows("last")][:2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("picks", "told"),
    [
        (None, "choose pictures in the gallery first"),
        ("", "marks no picture with a star"),
        ('{"file": "other.webp", "mark": "star"}', "names 'other.webp'"),
        ("nonsense", "line 1: must be"),
        ('{"file": 7, "mark": "star"}', "line 1: must be"),
        ('{"file": "a", "mark": "love"}', "line 1: must be"),
    ],
)
def test_picks_that_are_wrong_are_refused(tour, capsys, picks, told):
    if picks is not None:
        (tour / "picks.jsonl").write_text(picks)
    run("export tour --to out --picks", 3)
    assert told in capsys.readouterr().err
    assert not Path("out").exists()


def test_linked_pictures_take_no_room(tour):
    run("export tour --to out --link")
    name = pictures(tour)[0]
    assert (tour / name).stat().st_ino == (Path("out") / name).stat().st_ino


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "told"),
    [("file", "is not a folder"), ("full folder", "is not empty"), ("broken link", "is not a folder")],
)
def test_a_place_that_holds_something_is_left_alone(tour, capsys, there, told):
    if there == "file":
        Path("out").write_text("mine")
    elif there == "full folder":
        Path("out").mkdir()
        Path("out/mine").write_text("mine")
    else:
        Path("out").symlink_to("nowhere")
    before = sorted(str(path) for path in Path().rglob("*"))
    run("export tour --to out", 3)
    assert f"'out' {told}; nothing is replaced" in capsys.readouterr().err
    assert before == sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("to", ["out", "out/", ".", "link", "inner/../out"])
def test_an_empty_folder_is_filled_whatever_leads_to_it(to, tour, monkeypatch):
    """The current folder, and one that is a link or a mounted disk, cannot be replaced by a new one."""
    for name in ("out", "inner"):
        Path(name).mkdir()
    Path("link").symlink_to("out")
    before, folder = Path("out").stat().st_ino, tour.absolute()
    if to == ".":
        monkeypatch.chdir("out")
    run(f"export {shlex.quote(str(folder))} --to {to}")
    monkeypatch.chdir(folder.parent)
    assert 4 == len(names())
    assert before == Path("out").stat().st_ino
    assert Path("link").is_symlink()
    assert ["a.csv", "inner", "link", "out", "tour"] == sorted(path.name for path in Path().iterdir())


def test_a_folder_that_another_export_makes_at_the_last_moment_is_left_alone(tour):
    def fill(event, arguments):
        if event in ("os.rename", "shutil.move") and "out" == str(arguments[1]) and not Path("out").exists():
            Path("out").mkdir()
            Path("out/theirs").write_text("theirs")

    def export():
        sys.addaudithook(fill)
        with pytest.raises(ConfigError, match="'out' cannot be written"):
            export_folder("tour", "out")

    assert 0 == in_child(export)
    assert ["theirs"] == names()
    assert ["a.csv", "out", "tour"] == names(".")


def test_pictures_that_were_changed_are_told_and_exported_as_they_are(tour, capsys):
    first, second, third = pictures(tour)
    (tour / first).write_bytes(b"")
    capsys.readouterr()
    run("export tour --to out")
    said = f"1 picture was changed since it was saved; exported as found: {first}\n"
    assert said in capsys.readouterr().err
    assert b"" == Path("out", first).read_bytes()
    (tour / second).write_bytes(b"edited")
    run("export tour --to more")
    assert f"2 pictures were changed since they were saved; exported as found: {first} …\n" in capsys.readouterr().err
    damaged = bytearray((tour / third).read_bytes())
    damaged[-20] ^= 1
    (tour / third).write_bytes(damaged)
    run("export tour --to all")
    assert f"3 pictures were changed since they were saved; exported as found: {first} …\n" in capsys.readouterr().err
    assert damaged == Path("all", third).read_bytes()


def test_pictures_as_they_were_saved_are_exported_without_a_note(tour, capsys):
    capsys.readouterr()
    run("export tour --to out")
    assert "exported as found" not in capsys.readouterr().err


def test_a_picture_that_is_gone_is_told_and_the_others_are_exported(tour, capsys):
    name = pictures(tour)[1]
    (tour / name).unlink()
    run("export tour --to out")
    assert f"1 picture of tour is no longer there, and left out: {name}\n" in capsys.readouterr().err
    assert 2 == len(rows())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("export tour --to out --as zip", 2, "imagefolder"),
        ("export tour --to out --as parquet --link", 2, "--link goes with --as imagefolder or captions"),
        ("export tour --to out --paths", 2, "--paths goes with --as parquet"),
        ("export tour --to out --shard-mb 5", 2, "--shard-mb goes with --as webdataset"),
        ("export tour --to out --as webdataset --shard-mb 0", 2, "--shard-mb"),
        ('export tour --to out --caption "{promt}"', 2, "prompt"),
        ('export tour --to out --caption "{"', 2, "unmatched brace"),
        ("export nowhere --to out", 3, "nowhere"),
        ("export tour", 2, "--to"),
    ],
)
def test_wrong_arguments_are_one_clear_error_and_write_nothing(tour, capsys, line, code, told):
    run(line, code)
    shown = capsys.readouterr()
    assert told in shown.err
    assert "" == shown.out
    assert not Path("out").exists()
    assert [] == [*Path().glob(".cometflux*")]


def test_a_folder_without_a_saved_picture_is_an_error(service, folder, capsys):
    Path("a.txt").write_text("a fox\n")
    run("batch a.txt --out tour --limit 0", 4)
    run("export tour --to out", 3)
    assert "nothing to export" in capsys.readouterr().err


def test_pictures_of_an_object_store_are_exported_once_they_are_fetched_into_the_folder(folder, capsys):
    record = job_states.succeed(job_states.plan(0), folder, job_states.picture())
    job_states.write(folder, record, place="s3://bucket/tour")
    (picture,) = folder.glob("0*.png")
    run("export . --to out")
    assert [picture.name, "metadata.jsonl"] == names()
    picture.unlink()
    run("export . --to again", 3)
    assert "the pictures of '.' are at s3://bucket/tour; fetch them into the folder first" in capsys.readouterr().err


def test_columns_have_one_type_each():
    found = align([{"a": 1, "b": [1], "c": "x", "d": True}, {"a": 1.5, "b": "y", "c": 2, "e": None}])
    assert [
        {"a": 1.0, "b": "[1]", "c": "x", "d": True, "e": None},
        {"a": 1.5, "b": "y", "c": "2", "d": None, "e": None},
    ] == found


def test_the_picture_of_a_job_whose_redo_failed_is_still_exported(tour, service):
    first, *others = pictures(tour)
    service.fail("failed")
    run("resume tour --redo '#00000' --yes", 1)
    run("export tour --to out")
    assert [first, *others] == [row["file_name"] for row in rows()]


@pytest.mark.parametrize("form", ["imagefolder", "parquet"])
def test_a_seed_of_more_than_63_bits_makes_the_column_text(service, folder, form):
    Path("a.csv").write_text(f"prompt,seed\na fox,{2**64 - 1}\nan owl,5\n")
    run("batch a.csv --out tour")
    run(f"export tour --to out --as {form}")
    found = rows() if form == "imagefolder" else pyarrow.parquet.read_table("out/pictures.parquet").to_pylist()
    assert [str(2**64 - 1), "5"] == [row["seed"] for row in found]


def test_pictures_that_differ_in_their_endings_have_a_caption_each(service, folder):
    Path("a.csv").write_text("prompt,key,output_format\na fox,fox,webp\n")
    run("batch a.csv --out tour --name '{key}'")
    # Without the record, its name is free for the next picture of the job.
    Path("tour/fox.json").unlink()
    Path("b.csv").write_text("prompt,key,output_format\na red fox,fox,png\n")
    run("resume tour --redo-from b.csv")
    marks = [json.dumps({"file": f"fox.{ending}", "mark": "star"}) for ending in ("webp", "png")]
    Path("tour/picks.jsonl").write_text("\n".join(marks))
    run("export tour --to out --as captions --picks")
    assert ["fox-2.png", "fox-2.txt", "fox.txt", "fox.webp"] == names()
    assert ["a red fox\n", "a fox\n"] == [Path("out", name).read_text() for name in ("fox-2.txt", "fox.txt")]


def test_samples_of_shards_have_different_names(service, folder):
    Path("a.csv").write_text("prompt,key\na fox,a.b\nan owl,a_b\n")
    run("batch a.csv --out tour --name '{key}'")
    run("export tour --to out --as webdataset")
    with tarfile.open("out/000000.tar") as tar:
        stems = [name.partition(".")[0] for name in tar.getnames()]
    assert ["a_b"] * 3 + ["a_b-2"] * 3 == stems


@pytest.mark.slow
@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("a photo, {prompt}", "must be a function of a picture's fields"),
        (lambda row: None, "must make texts that UTF-8 can encode"),
        (lambda row: "half of a pair: \ud800", "must make texts that UTF-8 can encode"),
    ],
)
def test_a_caption_that_is_not_a_text_is_refused_before_anything_is_written(tour, caption, told):
    with pytest.raises(ConfigError, match=told):
        export_folder(tour, "out", form="captions", caption=caption)
    assert not Path("out").exists()


def test_a_caption_of_another_encoding_is_one_error(tour, capsys):
    run("export tour --to out --caption 'caf\udce9, {prompt}'", 3)
    assert "--caption 'caf\\udce9, a fox': must make texts that UTF-8 can encode" in capsys.readouterr().err


def test_a_place_of_a_bucket_is_refused_with_advice_for_a_new_folder(tour, capsys):
    run("export tour --to s3://bucket/dataset", 2)
    assert "is not a path on this machine; give a folder on this machine\n" in capsys.readouterr().err


def test_a_journal_of_somebody_else_reaches_no_file_outside_its_folder(folder, capsys):
    tour = Path("deep/tour")
    tour.mkdir(parents=True)
    record = job_states.succeed(job_states.plan(0), tour, job_states.picture())
    Path("deep/secret.png").write_bytes(job_states.picture())
    (file,) = record.files
    stolen = attrs.evolve(record, files=(attrs.evolve(file, name="../secret.png"),))
    job_states.write(tour, stolen)
    before = sorted(Path().rglob("*"))
    run("export deep/tour --to out", 3)
    run("batch --from deep/tour --model kontext-pro", 2)
    assert "../secret.png is not in the folder" in capsys.readouterr().err
    assert before == sorted(Path().rglob("*"))
