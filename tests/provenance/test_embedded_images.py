"""Images with embedded records, from the session to the disk: nothing is submitted or saved twice because of them."""

import hashlib
import io
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import forked_process
import pytest
from blocking_folder import find_each, find_saved, write_output
from PIL import Image

from cometflux import Job, Journal, RetryPolicy, open_session
from cometflux.engine.saver import Saver
from cometflux.engine.savers import SaveOrder
from cometflux.errors import ConfigError, OutputError
from cometflux.provenance.embed import extract, is_same_picture
from cometflux.storage.destination import Folder
from cometflux.testing import LocalService

RECORD = {"key": "a", "index": 0, "model": "m/x", "input": {"prompt": "a boat"}, "prediction": {"id": "p1"}}
FORMATS = ["png", "jpg", "webp"]


def picture(kind="PNG", shade=0):
    file = io.BytesIO()
    Image.linear_gradient("L").point(lambda value: (value + shade) % 256).save(file, kind)
    return file.getvalue()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def told(image):
    return json.loads(image.with_suffix(".json").read_text(encoding="utf-8"))


def job(form="png", **values):
    return Job(model="black-forest-labs/flux-schnell", input={"prompt": "a boat", "output_format": form, **values})


@pytest.fixture
def opened(service):
    def open_it(**options):
        return open_session(api_key=service.key, base_url=service.url, **options)

    return open_it


async def make(session, folder, *jobs):
    async with session:
        return [outcome async for outcome in session.generate(jobs, save_to=folder)]


def fetches(service):
    return sum(1 for request in service.requests if "/predictions" not in request.path)


# ── on the disk ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_sidecar_has_the_size_and_digest_of_the_file_as_written(kind, tmp_path):
    data = picture(kind)
    image = write_output(tmp_path, "a", data, RECORD, embeds=True)
    written = image.path.read_bytes()
    assert data != written
    assert is_same_picture(data, written)
    assert (len(written), hashlib.sha256(written).hexdigest()) == (image.size, image.digest)
    facts = {"bytes": image.size, "sha256": image.digest, "embedded": True, "mark": "marked"}
    assert facts.items() <= told(image.path).items()
    assert "marked" == image.mark
    assert (image,) == find_saved(tmp_path, "a", "p1", 1)


def test_the_sidecar_says_why_nothing_was_embedded(tmp_path):
    image = write_output(tmp_path, "a", picture("GIF"), RECORD, embeds=True)
    assert picture("GIF") == image.path.read_bytes()
    assert {"embedded": False, "not_embedded": "a GIF cannot hold a record"}.items() <= told(image.path).items()


def test_without_embedding_nothing_is_said_of_it(tmp_path):
    image = write_output(tmp_path, "a", picture(), RECORD)
    assert picture() == image.path.read_bytes()
    assert "embedded" not in told(image.path)
    assert "bare" == image.mark == told(image.path)["mark"]
    assert told(image.path)["digital_source_type"].endswith("/trainedAlgorithmicMedia")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "note"),
    [
        (True, True, {"embedded": True}),
        (True, False, {"embedded": True}),
        (False, True, {"embedded": False, "not_embedded": "a run that did not embed had saved it"}),
        (False, False, {}),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("gone", ["the record", "the image", "nothing"])
def test_files_of_a_run_with_another_setting_are_not_copied(kind, first, second, note, gone, tmp_path):
    before = write_output(tmp_path, "a", picture(kind), RECORD, embeds=first)
    lost = {"the record": before.path.with_suffix(".json"), "the image": before.path}.get(gone)
    if lost:
        lost.unlink()
    again = write_output(
        tmp_path, "a", picture(kind), RECORD | {"index": 7 if gone == "the record" else 0}, embeds=second
    )
    assert before == again
    assert 2 == len(names(tmp_path))
    assert (again,) == find_saved(tmp_path, "a", "p1", 1)
    if gone == "the record":
        assert note == {name: value for name, value in told(again.path).items() if "embedded" in name}


@pytest.mark.parametrize("first", [True, False])
def test_the_image_of_another_prediction_is_left_alone(first, tmp_path):
    other = write_output(tmp_path, "a", picture(), RECORD | {"prediction": {"id": "p2"}}, embeds=first)
    other.path.with_suffix(".json").unlink()
    before = other.path.read_bytes()
    image = write_output(tmp_path, "a", picture(shade=9), RECORD, embeds=True)
    assert "a+1.png" == image.path.name
    assert before == other.path.read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
from cometflux.storage.destination import Folder
from cometflux.engine.saver import Saver
from cometflux.engine.savers import SaveOrder
from cometflux.storage.folder import sweep
from blocking_folder import find_each, write_output
from dying_process import die_at_file_event, in_child
from signing import PartSigner

base, data = Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()
record = {"model": "m/x", "input": {}, "prediction": {"id": "p1"}}
write_output(base / "warm", "a", data, record, embeds=True)

def options(first):
    if sys.argv[3] == "signed":
        return {"embeds": last % 3 == 0, "signer": PartSigner() if first else None}
    return {"embeds": first}

def run(folder, last, first):
    def save():
        die_at_file_event(last)
        # As a session does it: what is there is looked for first.
        find_each(folder, "a", "p1", 1)[0] or write_output(folder, "a", data, record, **options(first))
    return in_child(save)

for last in range(1, 100):
    folder = base / str(last)
    folder.mkdir()
    first = True if sys.argv[3] == "embedding first" else last % 2 == 0
    status = run(folder, last, first)
    assert run(folder, last, not first) in (0, -signal.SIGKILL)
    sweep(folder)
    image = write_output(folder, "a", data, record, **options(first))
    assert [image] == find_each(folder, "a", "p1", 1), last
    assert 2 == len(os.listdir(folder)), (last, os.listdir(folder))
    if status == 0:
        print(last)
        break
    assert status == -signal.SIGKILL
"""


@pytest.mark.posix
@pytest.mark.parametrize(
    ("kind", "order"),
    [("PNG", "mixed"), ("JPEG", "signed"), pytest.param("WEBP", "embedding first", marks=pytest.mark.hard)],
)
def test_whenever_it_is_killed_a_run_with_another_setting_makes_one_file_of_it(kind, order, tmp_path):
    (tmp_path / "source").write_bytes(picture(kind))
    command = [sys.executable, "-c", KILLED, tmp_path, tmp_path / "source", order]
    done = forked_process.run(command)
    assert "" == done.stderr
    assert int(done.stdout) > 6


# ── from a session ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", FORMATS)
async def test_a_batch_embeds_the_same_record_as_the_sidecar(form, opened, service, tmp_path):
    (outcome,) = await make(opened(embed=True), tmp_path, job(form, num_outputs=2))
    assert outcome.ok
    assert 2 == len(outcome.files)
    for file in outcome.files:
        record = extract(file.read_bytes())
        assert record.items() <= told(file).items()
        assert (outcome.prediction.id, "a boat") == (record["prediction"]["id"], record["input"]["prompt"])
        Image.open(file).load()


async def test_the_bytes_of_the_pixels_are_those_that_the_service_sent(opened, service, tmp_path):
    async with opened(embed=True) as session:
        prediction = await session.run(job("webp"))
        (sent,) = await session.download(prediction)
        (file,) = await session.save(prediction, tmp_path, "mine")
    assert "mine.webp" == file.name
    assert is_same_picture(sent, file.read_bytes())
    assert prediction.id == extract(file.read_bytes())["prediction"]["id"]


@pytest.mark.parametrize("form", FORMATS)
async def test_no_picture_holds_the_key_or_a_path_of_this_machine(form, opened, service, tmp_path):
    source = tmp_path / "from" / "boat.png"
    source.parent.mkdir()
    source.write_bytes(picture())
    made = Job(
        model="black-forest-labs/flux-kontext-pro",
        input={"prompt": "paint it red", "input_image": source, "output_format": "jpg" if form == "webp" else form},
    )
    (outcome,) = await make(opened(embed=True, journal=tmp_path / "out"), tmp_path / "out", made)
    (file,) = outcome.files
    data = file.read_bytes()
    assert "boat.png" == extract(data)["input"]["input_image"]
    for secret in (service.key, str(tmp_path), service.url):
        for code in ("utf-8", "utf-16-le", "utf-16-be"):
            assert secret.encode(code) not in data
    # In the folder it stands as it was given.
    assert str(source) == told(file)["input"]["input_image"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "harm"),
    [
        (True, False, "nothing"),
        (False, True, "the record removed"),
        (True, False, "the image removed"),
        (False, True, "the image removed"),
        (True, True, "the image removed"),
    ],
)
async def test_a_later_run_with_another_setting_submits_and_copies_nothing(
    first, second, harm, opened, service, tmp_path
):
    (before,) = await make(opened(embed=first, journal=tmp_path), tmp_path, job())
    if harm == "the image removed":
        before.files[0].unlink()
    if harm == "the record removed":
        before.files[0].with_suffix(".json").unlink()
    (after,) = await make(opened(embed=second, journal=tmp_path), tmp_path, job())
    assert 1 == len(service.bills)
    assert after.ok
    assert after.resumed
    assert before.files == after.files
    assert 1 == len(list(tmp_path.glob("*.png")))
    with Journal(tmp_path) as journal:
        (record,) = journal.records()
    written = after.files[0].read_bytes()
    assert [(len(written), hashlib.sha256(written).hexdigest())] == [(each.size, each.digest) for each in record.files]


async def test_an_image_with_a_record_is_not_fetched_again(opened, service, tmp_path):
    async with opened(embed=True) as session:
        prediction = await session.run(job())
        first = await session.save(prediction, tmp_path)
        assert first == await session.save(prediction, tmp_path)
    assert 1 == fetches(service)


async def test_an_image_without_room_for_its_record_is_known_as_it_was_written(opened, service, tmp_path):
    class NoRoom(type(Path())):
        """A path on a disk that has no more room as soon as there is an image on it."""

        def open(self, *args, **options):
            if any(self.parent.glob("*.png")):
                raise OSError(28, "No space left on device")
            return super().open(*args, **options)

    async with opened() as session:
        prediction = await session.run(job())
        saver = Saver(session.client, RetryPolicy(tries=2), embeds=True)
        record = RECORD | {"prediction": {"id": prediction.id}}
        place = Folder(NoRoom(tmp_path))
        saved = await saver.save(SaveOrder(prediction=prediction, place=place, stem="a", record=record))
        assert isinstance(saved.error, OutputError)
        written = (tmp_path / "a.png").read_bytes()
        assert extract(written)
        assert [hashlib.sha256(written).hexdigest()] == [each.digest for each in saved.files]
        # A later run knows it by what it says itself, and gives it its record.
        (file,) = await session.save(prediction, tmp_path, "a")
    assert ["a.json", "a.png"] == names(tmp_path)
    assert hashlib.sha256(written).hexdigest() == told(file)["sha256"]


async def test_many_at_once_all_hold_their_own(opened, service, tmp_path):
    jobs = [Job(model="black-forest-labs/flux-schnell", input={"prompt": f"boat {n}"}) for n in range(6)]
    outcomes = await make(opened(embed=True), tmp_path, *jobs)
    assert {each.prediction.id for each in outcomes} == {
        extract(each.files[0].read_bytes())["prediction"]["id"] for each in outcomes
    }


@pytest.mark.hard
def test_a_batch_that_is_killed_and_resumed_with_either_setting_has_each_picture_once(monkeypatch, tmp_path):
    chance = random.Random(os.environ.get("COMETFLUX_KILL_SEED", "embed"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    Path("a.csv").write_text("\n".join(["prompt,output_format", *(f"boat {n},{FORMATS[n % 3]}" for n in range(60))]))
    with LocalService.in_thread(latency=0.05, pixels=1024) as service:
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        kills, code = 0, None
        while code is None:
            command = [sys.executable, "-m", "cometflux.cli", "batch", "a.csv", "--max-pending", "3"]
            command += ["--embed"] * (kills % 2)
            goal = len(service.bills) + chance.randint(2, 9)
            code = killed_when(command, lambda goal=goal: len(service.bills) >= goal, chance.random() / 5)
            kills += 1
        billed = Counter(bill.input["prompt"] for bill in service.bills)
    assert kills > 3
    assert {1} == set(billed.values())
    lines = [json.loads(line) for line in Path("a-images/manifest.jsonl").read_text().splitlines()]
    saved = [line for line in lines if line["ok"]]
    # A kill between the intent and the answer leaves one of unknown fate, which may be billed or not.
    assert 60 == len(saved) + sum(line["kind"] == "unknown" for line in lines)
    assert {line["prompt"] for line in saved} <= set(billed)
    assert len(saved) > 40
    pictures = [path for path in Path("a-images").iterdir() if path.suffix[1:] in FORMATS]
    assert sorted(file for line in saved for file in line["files"]) == sorted(path.name for path in pictures)
    assert 2 == len({extract(path.read_bytes()) is None for path in pictures})
    for path in pictures:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == told(path)["sha256"]


def killed_when(command, is_time, later):
    """Run *command* and kill it *later* than it is time; return its exit code, None if it was killed."""
    running = forked_process.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while running.poll() is None and not is_time():
            time.sleep(0.005)
        return running.wait(later)
    except subprocess.TimeoutExpired:
        return None
    finally:
        running.kill()
        running.wait()


# ── bad input ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("embed", [1, "yes", None])
def test_a_setting_that_is_none_is_refused(embed, opened):
    with pytest.raises(ConfigError, match=r"embed=.*: must be True or False"):
        opened(embed=embed)


def test_find_each_takes_only_whole_ones(tmp_path):
    image = write_output(tmp_path, "a", picture(), RECORD, embeds=True)
    image.path.write_bytes(image.path.read_bytes()[:-1])
    assert [None] == find_each(tmp_path, "a", "p1", 1)
