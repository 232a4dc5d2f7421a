"""A batch from the chosen pictures of an earlier folder."""

import json
import shlex
import shutil
import zipfile
from pathlib import Path

import job_states
import pytest

from cometflux import sources
from cometflux.cli import main
from cometflux.errors import ConfigError
from cometflux.journal.manifest import write_manifest
from cometflux.testing import LocalService

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once")
DRAFTS = "prompt,key,seed,sku\na fox,fox,1,S-1\nan owl,,2,\n"
FINISH = "cometflux batch --from drafts --model flux-kontext-pro"


@pytest.fixture(scope="module")
def made_before(tmp_path_factory):
    """A folder of drafts, made once: none of its jobs is made again here."""
    folder = tmp_path_factory.mktemp("before")
    with pytest.MonkeyPatch.context() as patch, LocalService.in_thread(latency=0.0, pixels=1024) as service:
        patch.chdir(folder)
        patch.setenv("COMETFLUX_BASE_URL", service.url)
        patch.setenv("COMETAPI_KEY", service.key)
        Path("drafts.csv").write_text(DRAFTS)
        run("batch drafts.csv --out drafts --keep sku --num-outputs 2 --quiet")
    return folder / "drafts"


@pytest.fixture
def drafts(made_before, folder):
    shutil.copytree(made_before, "drafts")
    return sorted(path.name for path in Path("drafts").glob("0*") if path.suffix != ".json")


def run(line, code=0):
    assert code == main(shlex.split(line.removeprefix("cometflux ")))


def star(*names):
    Path("drafts/picks.jsonl").write_text("".join(f'{{"file": "{name}", "mark": "star"}}\n' for name in names))


def made(folder):
    return [json.loads(line) for line in write_manifest(folder).read_text().splitlines()]


@pytest.mark.slow
def test_without_a_file_each_picture_is_made_once_with_its_own_prompt_key_and_tags(service, drafts):
    run(FINISH)
    lines = made("drafts-finished")
    assert ["a fox", "a fox", "an owl", "an owl"] == [line["prompt"] for line in lines]
    assert ["fox.1", "fox.2", "00001-an-owl-1", "00001-an-owl-2"] == [line["key"] for line in lines]
    assert [{"sku": "S-1", "from": drafts[0]}, {"from": drafts[2]}] == [line["tags"] for line in lines[::2]]
    assert drafts == [line["input"]["input_image"] for line in lines]


def test_each_row_is_made_once_for_each_chosen_picture_under_both_keys(service, drafts):
    star(drafts[1], drafts[2])
    Path("finish.csv").write_text(
        "key,prompt,model\nposter,a poster,flux-kontext-pro\nlast,,flux-2-pro\n,in oil,flux-1.1-pro\n"
    )
    run("batch finish.csv --from drafts --picks")
    lines = made("finish-images")
    assert ["poster-fox.2", "poster-00001-an-owl-1", "last-fox.2", "last-00001-an-owl-1"] == [
        line["key"] for line in lines[:4]
    ]
    assert ["a poster", "a poster", "a fox", "an owl", "in oil", "in oil"] == [line["prompt"] for line in lines]
    assert ["input_image", "input_image", "input_images", "input_images", "image_prompt", "image_prompt"] == [
        name for line in lines for name in line["input"] if "image" in name
    ]


@pytest.mark.slow
def test_the_same_batch_again_pays_for_nothing_and_one_with_more_picks_for_the_new_ones(service, drafts):
    star(drafts[0])
    run(f"{FINISH} --picks --out done")
    run(f"{FINISH} --picks --out done")
    assert 1 == len(service.bills)
    star(drafts[3], drafts[0])
    run(f"{FINISH} --picks --out done")
    assert 2 == len(service.bills)
    assert 2 == len(made("done"))


@pytest.mark.slow
def test_a_picture_that_was_made_again_keeps_its_key_and_the_new_one_has_its_own(service, folder):
    Path("drafts.csv").write_text("prompt,key,num_outputs\na fox,fox,2\n")
    run("batch drafts.csv --out drafts")
    star(first := "00000-a-fox-1.webp")
    run(f"{FINISH} --picks --out done")
    run("resume drafts --redo fox --yes")
    run(f"{FINISH} --picks --out done")
    assert 2 + 1 == len(service.bills), "the draft twice, and the picture from it once"
    star(first, newest := "00000-a-fox-1+1.webp")
    run(f"{FINISH} --picks --out done")
    assert [("fox.1", first), ("fox+1.1", newest)] == [(line["key"], line["tags"]["from"]) for line in made("done")]
    assert ["fox+1.1", "fox+1.2"] == [each.key for each in sources.read_pictures("drafts")]


def test_a_batch_that_was_cut_short_is_resumed_without_the_pictures_being_named(service, drafts):
    run(f"{FINISH} --out done --limit 1", 4)
    run("resume done")
    assert 4 == len(service.bills)


@pytest.mark.slow
@pytest.mark.parametrize(
    "row",
    [
        pytest.param(("a.jsonl", '{"input": {"aspect_ratio": "1:1"}}'), id="a request body"),
        pytest.param(("a.jsonl", '{"aspect_ratio": "1:1"}'), id="typed values"),
        pytest.param(("a.csv", "aspect_ratio\n1:1\n"), id="a table without prompts"),
        pytest.param(("a.yaml", "matrix:\n  aspect_ratio: ['1:1']\n"), id="a sweep"),
        pytest.param(("a.tsv", "prompt\taspect_ratio\n\t1:1\n"), id="an empty cell"),
    ],
)
def test_every_kind_of_prompt_file_may_leave_the_prompt_to_the_pictures(service, drafts, row):
    star(drafts[0])
    name, text = row
    Path(name).write_text(text)
    run(f"batch {name} --from drafts --picks --model kontext-pro")
    (line,) = made("a-images")
    assert {"prompt": "a fox", "aspect_ratio": "1:1", "input_image": drafts[0]} == line["input"]


def test_a_template_may_use_the_prompt_of_the_picture_and_copies_have_keys_of_their_own(service, drafts):
    star(drafts[0])
    run(f'{FINISH} --picks --template "{{prompt}}, in oil" --count 2 --out done')
    assert [("a fox, in oil", "fox.1"), ("a fox, in oil", "fox.1-2")] == [
        (line["prompt"], line["key"]) for line in made("done")
    ]


def test_wildcards_are_for_the_rows_and_the_prompt_of_a_picture_stays_as_it_was_sent(service, folder):
    Path("a.txt").write_text("a {red|blue} fox\n")
    run("batch a.txt --out drafts")
    Path("b.csv").write_text("key,prompt\none,\ntwo,{a|a} poster\n")
    run("batch b.csv --from drafts --model kontext-pro --wildcard-seed 1")
    assert ["a {red|blue} fox", "a poster"] == [line["prompt"] for line in made("b-images")]


def test_the_reference_column_may_name_another_parameter_for_the_picture(service, drafts):
    star(drafts[0])
    Path("a.csv").write_text("input_images\nhttps://x.example/style.png\n")
    run("batch a.csv --from drafts --picks --model flux-2-pro", 2)
    schema = {"type": "object", "properties": {name: {"type": "string", "format": "uri"} for name in ("one", "two")}}
    Path("s.json").write_text(json.dumps(schema))
    run("batch --from drafts --picks --model o/m --schema s.json --reference-column two --dry-run")
    run("batch --from drafts --picks --model o/m --schema s.json --dry-run", 2)


def test_python_has_the_pictures_with_what_is_known_of_them(drafts):
    star(drafts[1])
    (picture,) = sources.read_pictures("drafts", only_picks=True)
    assert (Path("drafts").absolute() / drafts[1], "fox.2", "a fox") == (picture.path, picture.key, picture.prompt)
    assert {"sku": "S-1"} == picture.tags
    assert drafts == [each.name for each in sources.read_pictures("drafts")]
    with pytest.raises(ConfigError, match="no folder"):
        sources.read_pictures("nowhere")


# ── images of a sweep ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_images_of_a_zip_are_each_made_once_and_resumed_without_the_zip(service, drafts, capsys):
    with zipfile.ZipFile("shots.zip", "w") as archive:
        for name in drafts[:2]:
            archive.write(f"drafts/{name}", name)
    Path("a.yaml").write_text('images: shots.zip\nmodel: kontext-pro\nprompt: in snow\nkey: "{image}"\n')
    run("batch a.yaml --expand")
    images = [json.loads(line)["input_image"] for line in capsys.readouterr().out.splitlines()]
    assert [True] * 2 == [image.startswith("data:image/webp;base64,") for image in images]
    run("batch a.yaml --limit 1", 4)
    Path("shots.zip").unlink()
    run("resume a-images")
    assert images == sorted((bill.input["input_image"] for bill in service.bills), key=images.index)
    assert [name.removesuffix(".webp") for name in drafts[:2]] == [line["key"] for line in made("a-images")]
    assert [{"from": name} for name in drafts[:2]] == [line["tags"] for line in made("a-images")]


@pytest.mark.slow
def test_images_that_the_journal_would_keep_too_often_are_refused(service, drafts, capsys, monkeypatch):
    monkeypatch.setattr("cometflux.sources.sweeps.sweep_file._MOST_HELD", 0)
    with zipfile.ZipFile("shots.zip", "w") as archive:
        archive.write(f"drafts/{drafts[0]}", "a.webp")
    Path("a.yaml").write_text("images: shots.zip\nmodel: kontext-pro\nprompt: in snow\n")
    run("batch a.yaml", 2)
    assert "unpack the zip, and give its folder" in capsys.readouterr().err


def test_a_sweep_with_images_takes_none_of_a_folder(service, drafts, capsys):
    Path("a.yaml").write_text("images: drafts\nmodel: kontext-pro\nprompt: in snow\n")
    run("batch a.yaml --from drafts", 2)
    assert 1 == capsys.readouterr().err.count("--from: the row has an image of images already")
    assert [] == service.bills


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def removed(name):
    (Path("drafts") / name).unlink()


def changed(name):
    (Path("drafts") / name).write_bytes((Path("drafts") / name).read_bytes() + b"0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("batch", 2, "give a FILE of prompts, or a folder of pictures with --from"),
        ("batch --picks", 2, "--picks goes with --from DIR"),
        ("batch --from nowhere", 3, "there is no folder 'nowhere"),
        ("batch --from loop", 3, "loop"),
        ("batch --from s3://bucket/drafts", 2, "is not a path on this machine"),
        ("batch --from drafts --out drafts", 2, "give another folder for the new pictures"),
        ("batch --from drafts --out ./drafts/", 2, "give another folder for the new pictures"),
        ("batch --from drafts --format csv", 2, "are about FILE"),
        ("batch --from drafts", 2, "drafts: --from: flux-schnell takes no reference image; give a model that takes"),
        ("batch --from drafts --model o/m", 2, "o/m is not a known model; give a model that takes one, or its schema"),
        (
            "batch --from drafts --model kontext-pro --input-image https://x.example/a.png",
            2,
            "--input-image gives another input_image",
        ),
        ("batch a.csv --from drafts --model kontext-pro", 2, "line 2: --from: this row has reference already"),
        ("batch b.csv --from drafts --model kontext-pro", 2, "line 2: --from: this row has input_image already"),
        ("batch c.csv --from drafts", 2, "line 3: --from: flux-schnell takes no reference image"),
    ],
)
def test_a_mistake_is_one_clear_error_and_nothing_is_sent(service, drafts, capsys, line, code, told):
    Path("loop").symlink_to("loop")
    Path("a.csv").write_text("reference\na.png\n")
    Path("b.csv").write_text("input_image\na.png\n")
    Path("c.csv").write_text("model\nkontext-pro\nflux-schnell\n")
    capsys.readouterr()
    run(line, code)
    error = capsys.readouterr().err
    assert told in error
    assert 1 == error.count("error:")
    assert [] == service.bills


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (None, "choose pictures in the gallery first"),
        (lambda name: star(), "marks no picture with a star"),
        (lambda name: star(name, "other.webp"), "names 'other.webp', which this folder has not saved"),
        (lambda name: (star(name), removed(name)), "drafts: 00000-a-fox-1.webp is no longer in the folder"),
        (lambda name: (star(name), changed(name)), "drafts: 00000-a-fox-1.webp has changed since it was saved"),
    ],
    ids=["no picks", "no star", "another folder's picks", "a removed picture", "a changed picture"],
)
def test_a_folder_whose_picks_cannot_be_made_from_is_one_clear_error(service, drafts, capsys, change, told):
    if change is not None:
        change(drafts[0])
    capsys.readouterr()
    run(f"{FINISH} --picks", 2 if told.startswith("drafts: ") else 3)
    error = capsys.readouterr().err
    assert told in error
    assert 1 == error.count("error:")
    assert ([], False) == (service.bills, Path("drafts-finished").exists())


def test_a_picture_that_is_not_chosen_may_be_gone(service, drafts):
    star(drafts[0])
    removed(drafts[1])
    run(f"{FINISH} --picks")
    assert 1 == len(service.bills)


def test_pictures_of_an_object_store_are_read_once_they_are_fetched_into_the_folder(folder):
    record = job_states.succeed(job_states.plan(0), folder, job_states.picture())
    job_states.write(folder, record, place="s3://bucket/drafts")
    (picture,) = folder.glob("0*.png")
    assert [picture.name] == [each.name for each in sources.read_pictures(folder)]
    picture.unlink()
    with pytest.raises(ConfigError, match=r"are at s3://bucket/drafts; fetch them into the folder first"):
        sources.read_pictures(folder)


def test_a_folder_without_a_picture_is_an_error(service, folder, capsys):
    Path("a.txt").write_text("a fox\n")
    run("batch a.txt --out drafts --limit 0", 4)
    run(FINISH, 3)
    assert "'drafts' has no saved picture" in capsys.readouterr().err
