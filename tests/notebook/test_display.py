"""A notebook's view of a prediction and an outcome, as IPython requests it."""

import base64
import io
from html.parser import HTMLParser

import attrs
import pytest
from PIL import Image

from cometflux import Job, Outcome, Prediction, Status, flux
from cometflux.errors import OutputError, PredictionFailedError, RejectedError, UnknownSubmissionError
from cometflux.notebook import display, show_pictures
from cometflux.outcomes import OutcomeKind
from cometflux.session.open import open_session

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)> $\\LaTeX$ & \u202edrawkcab'
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


def picture(kind="PNG", size=(4, 3)):
    data = io.BytesIO()
    Image.new("RGB", size, (200, 80, 40)).save(data, kind)
    return data.getvalue()


def data_uri(data, kind="application/octet-stream"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def prediction(*output, **fields):
    fields = {"status": Status.SUCCEEDED, "input": {"prompt": "a boat"}, "model": "a/flux"} | fields
    return Prediction(id="p1", output=output, **fields)


def outcome(**fields):
    fields = {
        "kind": OutcomeKind.SUCCEEDED,
        "job": Job.of("a boat"),
        "prediction": prediction("https://x/a.png"),
    } | fields
    return Outcome(index=0, key="#00000", **fields)


class Page(HTMLParser):
    """Parses HTML as a browser does: its elements, in order, and its text."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    @property
    def images(self):
        return [attributes for tag, attributes in self.elements if tag == "img"]


def shown(value):
    """Ask for a value's bundle as IPython does in a kernel, and return it with the page."""
    from IPython.core.formatters import DisplayFormatter

    formatter = DisplayFormatter()
    show_pictures(formatter)
    bundle, metadata = formatter.format(value)
    assert {} == metadata
    return bundle, Page(bundle.get("text/html", ""))


# ── the pictures ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("claimed", ["application/octet-stream", "image/svg+xml"])
def test_a_picture_in_the_answer_is_shown_by_its_true_type(kind, claimed):
    data = picture(kind)
    bundle, page = shown(prediction(data_uri(data, claimed)))
    assert data == base64.b64decode(bundle[TYPES[kind]])
    assert {"text/plain", "text/html", TYPES[kind]} == set(bundle)
    assert [data_uri(data, TYPES[kind])] == [image["src"] for image in page.images]


@pytest.mark.parametrize("kind", TYPES)
def test_a_picture_on_disk_is_shown_by_its_true_type(tmp_path, kind):
    path = tmp_path / "a.wrong"
    path.write_bytes(picture(kind))
    bundle, page = shown(outcome(files=(path,)))
    assert picture(kind) == base64.b64decode(bundle[TYPES[kind]])
    assert [data_uri(picture(kind), TYPES[kind])] == [image["src"] for image in page.images]


def test_several_pictures_are_shown_together(tmp_path):
    paths = tuple(tmp_path / f"{kind}.bin" for kind in TYPES)
    for kind, path in zip(TYPES, paths, strict=True):
        path.write_bytes(picture(kind))
    bundle, page = shown(outcome(files=paths))
    assert {"text/plain", "text/html"} == set(bundle)
    assert [*TYPES.values()] == [image["src"].partition(";")[0].removeprefix("data:") for image in page.images]


def test_a_picture_at_the_service_is_linked_and_its_reader_fetches_it_without_saying_from_where():
    bundle, page = shown(prediction("https://host/a.png?X-Signature=1&b=2"))
    assert {"text/plain", "text/html"} == set(bundle)
    (image,) = page.images
    assert "https://host/a.png?X-Signature=1&b=2" == image["src"]
    assert "no-referrer" == image["referrerpolicy"]
    assert "kept by the service for about an hour" in page.text


def test_the_outcome_shows_the_pictures_on_disk_rather_than_those_that_expire(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    _, page = shown(outcome(files=(tmp_path / "a.png",)))
    assert ["data"] == [image["src"].partition(":")[0] for image in page.images]


def test_an_outcome_without_files_shows_the_services_images():
    _, page = shown(outcome())
    assert ["https://x/a.png"] == [image["src"] for image in page.images]


def test_the_note_that_pictures_expire_is_shown_once():
    _, page = shown(prediction("https://x/a.png", "https://x/b.png"))
    assert ["https://x/a.png", "https://x/b.png"] == [image["src"] for image in page.images]
    assert 1 == page.text.count("about an hour")


# ── the caption ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_caption_describes_the_picture():
    _, page = shown(outcome(job=Job.of(flux.Dev(prompt="a boat"), key="k"), kind=OutcomeKind.SUCCEEDED))
    assert "a boat" in page.text
    assert "succeeded · black-forest-labs/flux-dev · #00000 · p1" in page.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PredictionFailedError(prediction(status=Status.FAILED, error="NSFW content")), "NSFW content"),
        (RejectedError("the service rejected the request"), "the service rejected the request; nothing is billed"),
        (UnknownSubmissionError("the answer was lost"), "it may be billed, so it is not sent again"),
    ],
    ids=["failed", "rejected", "unknown"],
)
def test_an_error_is_shown_with_what_happened_to_the_money(error, words):
    _, page = shown(outcome(kind=OutcomeKind.FAILED, prediction=None, error=error))
    assert f"{type(error).__name__}: " in page.text
    assert words in page.text
    assert [] == page.images


def test_a_failed_prediction_shows_why():
    _, page = shown(prediction(status=Status.FAILED, error="NSFW content"))
    assert "failed" in page.text
    assert "NSFW content" in page.text


def test_saved_images_are_shown_together_with_the_error(tmp_path):
    (tmp_path / "a.png").write_bytes(picture())
    _, page = shown(outcome(files=(tmp_path / "a.png",), error=OutputError("the second is cut short")))
    assert 1 == len(page.images)
    assert "the second is cut short" in page.text


@pytest.mark.parametrize(
    "value",
    [
        prediction(),
        prediction(status=Status.PROCESSING),
        prediction(status=Status.FAILED, error="no"),
        prediction("https://x/a.png"),
        prediction(input={}, model=None),
        outcome(),
        outcome(kind=OutcomeKind.UNKNOWN, prediction=None, error=UnknownSubmissionError("lost")),
    ],
    ids=["expired", "processing", "failed", "at the service", "bare", "outcome", "unknown"],
)
def test_the_plain_text_is_there_and_is_the_repr(value):
    bundle, _ = shown(value)
    assert repr(value) == bundle["text/plain"]


# ── hostile and broken ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "value",
    [
        prediction(input={"prompt": HOSTILE}),
        prediction(status=Status.FAILED, error=HOSTILE),
        prediction(HOSTILE),
        prediction(f"https://x/{HOSTILE}"),
        prediction(model=HOSTILE),
        outcome(error=RejectedError(HOSTILE)),
        attrs.evolve(outcome(), key=HOSTILE),
        outcome(job=Job(model="a/b", input={"prompt": HOSTILE})),
    ],
    ids=["prompt", "reason", "output", "url", "model", "error", "key", "job"],
)
def test_a_hostile_text_stays_text(value):
    bundle, page = shown(value)
    assert {"div", "em", "small", "strong", "bdi", "img", "a"} >= {tag for tag, _ in page.elements}
    assert [] == [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert {"https://x/a.png", f"https://x/{HOSTILE}"} >= {image["src"] for image in page.images}
    assert "mathjax_ignore tex2jax_ignore" in bundle["text/html"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "ftp://x/a", "//x/a.png", "x", ""])
def test_an_address_that_is_not_on_the_web_is_not_a_link(url):
    _, page = shown(prediction(url))
    assert [] == [attributes for tag, attributes in page.elements if tag in {"a", "img"}]
    assert url in page.text


@pytest.mark.parametrize(
    "url",
    [
        data_uri(b"<svg onload='alert(1)'/>", "image/svg+xml"),
        data_uri(b"<script>alert(1)</script>", "text/html"),
        "data:image/png;base64,***",
        "data:",
    ],
    ids=["svg", "html", "broken", "empty"],
)
def test_an_output_that_is_not_a_picture_is_not_shown_as_one(url):
    bundle, page = shown(prediction(url))
    assert {"text/plain", "text/html"} == set(bundle)
    assert [] == page.images
    assert "not a picture" in page.text or "cannot be read" in page.text


def test_a_picture_that_is_no_longer_there_is_reported(tmp_path):
    bundle, page = shown(outcome(files=(tmp_path / "gone.png",)))
    assert {"text/plain", "text/html"} == set(bundle)
    assert f"{tmp_path / 'gone.png'}: No such file or directory" in page.text


def test_a_large_picture_is_linked_and_not_kept_in_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my images"
    folder.mkdir()
    large = picture() + b"\0" * display.LARGEST_SHOWN
    (folder / "a.png").write_bytes(large)
    bundle, page = shown(outcome(files=(folder / "a.png",)))
    assert ["my%20images/a.png"] == [image["src"] for image in page.images]
    assert len(bundle["text/html"]) < 2000


def test_the_name_of_a_file_stays_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small, large = tmp_path / '"><script>.png', tmp_path / '" onerror="alert(1).png'
    small.write_bytes(picture())
    large.write_bytes(picture() + b"\0" * display.LARGEST_SHOWN)
    _, page = shown(outcome(files=(small, large)))
    assert [str(small), str(large)] == [image["alt"] for image in page.images]
    assert {"src", "alt", "style", "referrerpolicy"} == set(page.images[1])


def test_a_large_picture_elsewhere_is_named(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "a.png").write_bytes(picture() + b"\0" * display.LARGEST_SHOWN)
    _, page = shown(outcome(files=(tmp_path / "a.png",)))
    assert [] == page.images
    assert str(tmp_path / "a.png") in page.text


def test_many_pictures_together_are_bounded_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = tuple(tmp_path / f"{number}.png" for number in range(3))
    for path in paths:
        path.write_bytes(picture() + b"\0" * (display.LARGEST_SHOWN // 2 - 100))
    _, page = shown(outcome(files=paths))
    assert ["data", "data", "2.png"] == [image["src"].partition(":")[0] for image in page.images]


def test_a_large_picture_in_the_answer_is_not_kept_in_the_notebook_twice():
    large = data_uri(picture() + b"\0" * display.LARGEST_SHOWN)
    bundle, page = shown(prediction(large))
    assert [] == page.images
    assert "too large" in page.text
    assert len(bundle["text/html"]) < 2000


def test_a_long_prompt_is_cut():
    _, page = shown(prediction(input={"prompt": "boat " * 1000}))
    assert len(page.text) < 500
    assert "…" in page.text


async def test_a_batch_of_the_service_is_shown_without_asking_it(service, tmp_path):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        async for ended in session.generate(["a boat"], save_to=tmp_path):
            asked = len(service.requests)
            bundle, page = shown(ended)
            _, of_prediction = shown(ended.prediction)
            assert asked == len(service.requests)
    assert ended.files[0].read_bytes() == base64.b64decode(bundle["image/webp"])
    assert 1 == len(page.images) == len(of_prediction.images)
