"""Images are saved and found by the same rules in a folder and in an object store."""

import asyncio
import hashlib
import io
import json

import attrs
import pytest
from PIL import Image
from s3_server import NAME
from signing import PartSigner, add_signature

from cometflux.errors import OutputError
from cometflux.jobs import Job
from cometflux.predictions import Prediction, Status
from cometflux.provenance import xmp
from cometflux.provenance.embed import Mark, embed, extract, is_same_picture, is_signed_copy, mark_of
from cometflux.provenance.sidecar import Submission, record_of
from cometflux.storage.folder import Folder
from cometflux.storage.object_store import open_store

pytestmark = pytest.mark.realtime

JOB = Job(model="black-forest-labs/flux-schnell", input={"prompt": "a boat"})


def picture(shade=0, kind="PNG"):
    file = io.BytesIO()
    Image.linear_gradient("L").point(lambda value: (value + shade) % 256).save(file, kind)
    return file.getvalue()


PNG, OTHER_PNG = picture(), picture(9)


def record(prediction_id="p1", **values):
    prediction = Prediction(id=prediction_id, status=Status.SUCCEEDED, model=JOB.model, **values)
    return record_of(prediction, JOB, None, 0)


class InFolder:
    """A folder, and what is in it."""

    def __init__(self, folder):
        self._folder = folder
        self.images = Folder(folder)

    def names(self):
        return sorted(path.name for path in self._folder.iterdir())

    def read(self, name):
        return (self._folder / name).read_bytes()

    def put(self, name, data):
        (self._folder / name).write_bytes(data)

    def remove(self, name):
        (self._folder / name).unlink()


class InStore:
    """A place in a bucket, and what is in it."""

    def __init__(self, bucket):
        self._bucket = bucket
        self.images = open_store(f"s3://{NAME}/a/b")

    def names(self):
        return [name.removeprefix("a/b/") for name in self._bucket.names()]

    def read(self, name):
        return self._bucket.read(f"a/b/{name}")

    def put(self, name, data):
        self._bucket.put(f"a/b/{name}", data)

    def remove(self, name):
        self._bucket.remove(f"a/b/{name}")


@pytest.fixture(params=["folder", pytest.param("object store", marks=pytest.mark.processes)])
def place(request, tmp_path):
    if request.param == "folder":
        return InFolder(tmp_path)
    return InStore(request.getfixturevalue("bucket"))


def pairs(*stems):
    return sorted(f"{stem}.{ending}" for stem in stems for ending in ("json", "png"))


def noted(image):
    return image.path.name, image.size, image.digest


def record_in(place, name="boat.json"):
    return json.loads(place.read(name))


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("kind", "ending"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif")])
async def test_an_image_is_saved_as_it_came_with_a_record_next_to_it(kind, ending, place):
    data = picture(kind=kind)
    image = await place.images.write("boat", data, record())
    assert (f"boat.{ending}", len(data), hashlib.sha256(data).hexdigest()) == noted(image)
    assert data == place.read(f"boat.{ending}")
    facts = {"digital_source_type": xmp.GENERATED, "mark": "bare"}
    heading = {"file": f"boat.{ending}", "bytes": image.size, "sha256": image.digest}
    assert {**heading, **facts, **record()} == record_in(place)
    assert sorted([f"boat.{ending}", "boat.json"]) == place.names()


@pytest.mark.parametrize("data", [PNG[:-4], b"<!doctype html>", b""], ids=["cut short", "a page", "nothing"])
async def test_what_is_not_a_whole_image_is_not_saved(data, place):
    with pytest.raises(OutputError) as caught:
        await place.images.write("boat", data, record())
    assert caught.value.is_transient
    assert [] == place.names()


async def test_every_output_of_a_name_is_kept(place):
    for number, data in enumerate([PNG, OTHER_PNG, PNG]):
        await place.images.write("boat", data, record(f"p{number}"))
    assert pairs("boat", "boat+1", "boat+2") == place.names()
    assert [PNG, OTHER_PNG, PNG] == [place.read(f"boat{number}.png") for number in ("", "+1", "+2")]


async def test_without_an_id_no_record_is_ours(place):
    written = [await place.images.write("boat", PNG, {}) for _ in range(2)]
    assert ["boat.png", "boat+1.png"] == [image.path.name for image in written]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("boat.png", b"somebody's", id="an image"),
        pytest.param("boat.png", OTHER_PNG, id="another picture"),
        pytest.param("boat.png", b"x" * 3 * 2**20, id="a large file"),
        pytest.param("boat.json", json.dumps(record("p0")).encode(), id="the record of another prediction"),
        *(
            pytest.param("boat.json", text, id=f"{text!r} as a record")
            for text in (b"", b"{", b"{}", b"[]", b"null", b"\0", b'{"prediction": "p1"}', b'{"prediction": {"id": 1}}')
        ),
    ],
)
@pytest.mark.parametrize("embeds", [True, False], ids=["embedding", "not embedding"])
async def test_a_file_that_is_not_ours_is_not_replaced(embeds, name, data, place):
    place.put(name, data)
    image = await place.images.write("boat", PNG, record(), embeds=embeds)
    assert "boat+1.png" == image.path.name
    assert data == place.read(name)
    assert sorted([name, *pairs("boat+1")]) == place.names()


async def test_an_image_that_holds_the_id_and_shows_something_else_is_left_alone(place):
    await place.images.write("boat", OTHER_PNG, record(), embeds=True)
    place.remove("boat.json")
    assert "boat+1.png" == (await place.images.write("boat", PNG, record(), embeds=True)).path.name


async def test_the_removed_image_of_another_prediction_is_not_put_back(place):
    await place.images.write("boat", PNG, record("p0"))
    place.remove("boat.png")
    assert "boat+1.png" == (await place.images.write("boat", PNG, record())).path.name
    assert sorted(["boat.json", *pairs("boat+1")]) == place.names()


# ── what an earlier run saved ────────────────────────────────────────────────────────────────────────────────────────

settings = pytest.mark.parametrize(
    ("first", "second"),
    [(True, True), (True, False), (False, True), (False, False)],
    ids=["embedded twice", "embedded first", "embedded second", "never embedded"],
)


@settings
@pytest.mark.parametrize("lost", [None, "boat.json", "boat.png"], ids=["whole", "without record", "without image"])
async def test_an_output_that_an_earlier_run_saved_is_taken(first, second, lost, place):
    """The run was killed before it wrote the record, or a user removed either file since."""
    image = await place.images.write("boat", PNG, record(), embeds=first)
    if lost:
        place.remove(lost)
    assert image == await place.images.write("boat", PNG, record(), embeds=second)
    assert pairs("boat") == place.names()
    assert image.digest == hashlib.sha256(place.read("boat.png")).hexdigest() == record_in(place)["sha256"]
    assert first == (extract(place.read("boat.png")) is not None) == record_in(place).get("embedded", False)


async def test_the_record_says_why_an_image_that_was_taken_does_not_hold_it(place):
    await place.images.write("boat", PNG, record())
    place.remove("boat.json")
    await place.images.write("boat", PNG, record(), embeds=True)
    assert "a run that did not embed had saved it" == record_in(place)["not_embedded"]


@pytest.mark.parametrize("lost", ["boat.json", "boat.png"], ids=["without record", "without image"])
async def test_an_output_is_taken_though_the_service_reports_it_differently_now(lost, place):
    image = await place.images.write("boat", PNG, record(), embeds=True)
    place.remove(lost)
    assert image == await place.images.write("boat", PNG, record(logs="by now"), embeds=True)
    assert pairs("boat") == place.names()
    assert image.digest == record_in(place)["sha256"]


# ── signed images ────────────────────────────────────────────────────────────────────────────────────────────────────

signing = {"not signed": None, "signed": PartSigner(), "cannot sign": PartSigner("the signer is ill")}
embedding = pytest.mark.parametrize("embeds", [True, False], ids=["embedding", "not embedding"])


@embedding
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_a_signed_image_is_the_same_picture_and_known_by_its_record(kind, embeds, place):
    data = picture(kind=kind)
    image = await place.images.write("boat", data, record(), embeds=embeds, signer=PartSigner())
    saved = place.read(image.path.name)
    assert is_same_picture(data, saved)
    assert is_signed_copy(saved, embed(data, record()).data if embeds else data)
    assert (Mark.SIGNED, Mark.SIGNED) == (image.mark, mark_of(saved))
    assert {"sha256": hashlib.sha256(saved).hexdigest(), "mark": "signed"}.items() <= record_in(place).items()
    assert "not_signed" not in record_in(place)
    assert [image] == await place.images.find_each("boat", "p1", 1)


@embedding
@pytest.mark.parametrize("second", signing.values(), ids=[f"then {each}" for each in signing])
@pytest.mark.parametrize("first", signing.values(), ids=[f"first {each}" for each in signing])
@pytest.mark.parametrize("lost", [None, "boat.json"], ids=["whole", "without record"])
async def test_an_output_is_known_again_whoever_signed_it(lost, first, second, embeds, place):
    """The run was killed between the image and its record, or it was not."""
    image = await place.images.write("boat", PNG, record(), embeds=embeds, signer=first)
    saved = place.read("boat.png")
    if lost:
        place.remove(lost)
    assert image == await place.images.write("boat", PNG, record(), embeds=embeds, signer=second)
    assert pairs("boat") == place.names()
    assert saved == place.read("boat.png")
    assert {"sha256": image.digest, "mark": image.mark}.items() <= record_in(place).items()


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (None, PartSigner(), "a run that did not sign had saved it"),
        (None, PartSigner("it is ill"), "it is ill"),
        (PartSigner("it was ill"), None, None),
        (PartSigner(), PartSigner("it is ill"), None),
    ],
)
async def test_the_record_says_why_an_image_that_was_taken_is_not_signed(first, second, reason, place):
    await place.images.write("boat", PNG, record(), signer=first)
    place.remove("boat.json")
    await place.images.write("boat", PNG, record(), signer=second)
    assert reason == record_in(place).get("not_signed")


async def test_an_image_that_cannot_be_signed_is_saved_with_the_reason(place):
    image = await place.images.write("boat", PNG, record(), signer=PartSigner("the signer is ill"))
    assert PNG == place.read("boat.png")
    assert Mark.BARE == image.mark
    assert {"mark": "bare", "not_signed": "the signer is ill"}.items() <= record_in(place).items()


@embedding
@pytest.mark.parametrize("lost", [[], ["boat+1.json"]], ids=["whole", "killed before the record"])
async def test_a_removed_signed_image_is_signed_again_under_the_next_name(lost, embeds, place):
    """Its record describes bytes that cannot be made again; it stays, and tells that an image was there."""
    options = {"embeds": embeds, "signer": PartSigner()}
    first = await place.images.write("boat", PNG, record(), **options)
    place.remove("boat.png")
    assert [None] == await place.images.find_each("boat", "p1", 1)
    second = await place.images.write("boat", PNG, record(), **options)
    assert ("boat+1.png", Mark.SIGNED) == (second.path.name, second.mark)
    assert first.digest != second.digest
    for name in lost:
        place.remove(name)
    assert second == await place.images.write("boat", PNG, record(), **options)
    assert [second] == await place.images.find_each("boat", "p1", 1)
    assert first.digest == record_in(place)["sha256"]
    assert second.digest == record_in(place, "boat+1.json")["sha256"]
    assert sorted(["boat.json", *pairs("boat+1")]) == place.names()


async def test_an_output_that_is_signed_many_times_at_once_is_one_file(place):
    several = [place.images.write("boat", PNG, record(), signer=PartSigner()) for _ in range(8)]
    (image,) = set(await asyncio.gather(*several))
    assert pairs("boat") == place.names()
    assert image.digest == hashlib.sha256(place.read("boat.png")).hexdigest() == record_in(place)["sha256"]


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(add_signature(OTHER_PNG), id="another picture, signed"),
        pytest.param(add_signature(embed(PNG, record("p0")).data), id="that of another prediction, signed"),
        pytest.param(add_signature(PNG)[:-1], id="cut short"),
    ],
)
async def test_a_signed_file_without_a_record_that_is_not_this_output_is_left_alone(left, place):
    place.put("boat.png", left)
    image = await place.images.write("boat", PNG, record(), signer=PartSigner())
    assert "boat+1.png" == image.path.name
    assert left == place.read("boat.png")


async def test_an_output_that_came_signed_is_not_taken_for_one_that_lost_its_signature(place):
    place.put("boat.png", PNG)
    output = add_signature(PNG)
    image = await place.images.write("boat", output, record())
    assert "boat+1.png" == image.path.name
    assert output == place.read("boat+1.png")


# ── what is left alone ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [PNG[:-1], PNG[:-1] + b"x", PNG + b"x"], ids=["cut", "changed", "longer"])
async def test_a_damaged_image_is_not_touched_and_saved_under_the_next_name(data, place):
    await place.images.write("boat", PNG, record())
    place.remove("boat.png")
    place.put("boat.png", data)
    assert [None] == await place.images.find_each("boat", "p1", 1)
    image = await place.images.write("boat", PNG, record())
    assert "boat+1.png" == image.path.name
    assert data == place.read("boat.png")
    assert [image] == await place.images.find_each("boat", "p1", 1)
    assert image == await place.images.write("boat", PNG, record())


async def test_an_image_that_is_not_the_one_of_its_record_is_left_alone(place):
    await place.images.write("boat", PNG, record(), embeds=True)
    place.remove("boat.png")
    other = embed(PNG, record(logs="another")).data
    place.put("boat.png", other)
    assert "boat+1.png" == (await place.images.write("boat", PNG, record())).path.name
    assert other == place.read("boat.png")


async def test_a_removed_image_that_is_saved_many_times_at_once_is_one_file(place):
    first = await place.images.write("boat", PNG, record(), embeds=True)
    place.remove("boat.png")
    written = await asyncio.gather(*(place.images.write("boat", PNG, record()) for _ in range(8)))
    assert {first} == set(written)
    assert pairs("boat") == place.names()


async def test_an_output_that_is_saved_many_times_at_once_is_one_file(place):
    written = await asyncio.gather(*(place.images.write("boat", PNG, record()) for _ in range(8)))
    assert {"boat.png"} == {image.path.name for image in written}
    assert pairs("boat") == place.names()


async def test_the_same_bytes_of_many_predictions_at_once_are_many_files(place):
    ids = [f"p{number}" for number in range(8)]
    written = await asyncio.gather(*(place.images.write("boat", PNG, record(each)) for each in ids))
    assert ids == [record_in(place, image.path.name.replace(".png", ".json"))["prediction"]["id"] for image in written]
    assert 16 == len(place.names())


# ── finding again ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["boat", "00001-船-सफ़ेद-лодка"])
@pytest.mark.parametrize("count", [1, 2, 4])
async def test_the_images_of_a_prediction_are_found(count, name, place):
    stems = [name] if count == 1 else [f"{name}-{number + 1}" for number in range(count)]
    written = [await place.images.write(stem, PNG, record()) for stem in stems]
    assert written == await place.images.find_each(name, "p1", count)
    assert {f"{stem}.{ending}" for stem in stems for ending in ("png", "json")} == set(place.names())


@pytest.mark.parametrize(("stem", "prediction_id"), [("ship", "p1"), ("boat", "p2"), ("boat", "")])
async def test_other_images_are_not_found(stem, prediction_id, place):
    await place.images.write("boat-1", PNG, record())
    assert [None, None] == await place.images.find_each(stem, prediction_id, 2)


@pytest.mark.parametrize("lost", ["boat-2.png", "boat-2.json"])
async def test_a_missing_image_is_reported_in_its_place(lost, place):
    images = [await place.images.write(f"boat-{number}", PNG, record()) for number in (1, 2, 3)]
    place.remove(lost)
    assert [images[0], None, images[2]] == await place.images.find_each("boat", "p1", 3)


async def test_an_image_is_found_after_names_that_were_taken(place):
    ids = [f"p{number}" for number in range(4)]
    images = [await place.images.write("boat", PNG, record(each)) for each in ids]
    assert [[image] for image in images] == [await place.images.find_each("boat", each, 1) for each in ids]


@pytest.mark.parametrize("file", ["../boat.png", "/etc/passwd", "ship.png", "boat", "boat.b.png", 7, "boat+1.png"])
async def test_a_record_that_names_another_file_finds_nothing(file, place):
    await place.images.write("boat", PNG, record())
    for other in ("ship.png", "boat.b.png"):
        place.put(other, PNG)
    changed = json.dumps({**record_in(place), "file": file}).encode()
    place.remove("boat.json")
    place.put("boat.json", changed)
    assert [None] == await place.images.find_each("boat", "p1", 1)


async def test_an_image_that_was_written_is_described(place):
    image = await place.images.write("boat", PNG, record())
    assert image == await place.images.describe(image.path)
    place.remove("boat.png")
    assert await place.images.describe(image.path) is None


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_files_that_are_as_noted_are_there(count, place):
    images = [await place.images.write(f"boat-{number}", PNG, record()) for number in range(count)]
    assert tuple(images) == await place.images.check_files([noted(image) for image in images])


@pytest.mark.parametrize(
    ("name", "size", "digest"),
    [
        pytest.param("ship.png", len(PNG), None, id="a file that is missing"),
        pytest.param("boat.png", len(PNG) - 1, None, id="another size"),
        pytest.param("boat.png", len(PNG), "0" * 64, id="other bytes"),
        pytest.param("../b/boat.png", len(PNG), None, id="a way through another folder"),
    ],
)
async def test_a_file_that_is_not_as_noted_is_not_there(name, size, digest, place):
    image = await place.images.write("boat", PNG, record())
    assert await place.images.check_files([noted(image), (name, size, digest or image.digest)]) is None


SUBMISSION = Submission(journal="0123456789abcdef", job="job:ab:1", attempt=1, body="cd")


@pytest.mark.parametrize("stem", ["boat", "boat-1"])
@pytest.mark.parametrize("others", [0, 1, 2])
async def test_an_id_is_found_by_its_submission_also_next_to_the_images_of_others(others, stem, place):
    for number in range(others):
        await place.images.write(stem, PNG, record(f"p{number + 2}"))
    mine = record_of(Prediction(id="p1", status=Status.SUCCEEDED), JOB, None, 0, SUBMISSION)
    await place.images.write(stem, PNG, mine)
    assert "p1" == await place.images.find_id("boat", SUBMISSION)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(None, id="no submission, as in a record of version 0.1 or of another command"),
        pytest.param(attrs.evolve(SUBMISSION, journal="fedcba9876543210"), id="another journal"),
        pytest.param(attrs.evolve(SUBMISSION, job="job:ab:2"), id="an identical job"),
        pytest.param(attrs.evolve(SUBMISSION, attempt=2), id="another attempt"),
        pytest.param(attrs.evolve(SUBMISSION, body="ef"), id="another body"),
    ],
)
async def test_an_image_of_another_submission_tells_no_id(other, place):
    image = record_of(Prediction(id="p1", status=Status.SUCCEEDED, model=JOB.model), JOB, None, 0, other)
    await place.images.write("boat", PNG, image)
    assert await place.images.find_id("boat", SUBMISSION) is None
