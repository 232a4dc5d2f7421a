"""The gallery of a folder, without a browser: what is read, what is written, and what never is."""

import html
import json
import re
import struct
import subprocess
import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import attrs
import job_states
import pytest
from chromium import Sight, chromium
from colours import contrast

from cometflux import errors
from cometflux.gallery import Gallery, page, write_gallery
from cometflux.gallery.image_size import read_size
from cometflux.gallery.job_states import STATE_LABELS
from cometflux.journal.header import LOCAL, Account
from cometflux.journal.states import STATE_NAMES as KNOWN
from cometflux.journal.writer import JournalWriter

HOSTILE = "</script><!--<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}\u2028\u202e\x00&amp;"


def read(path):
    """Return the page and what its script reads."""
    text = Path(path).read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return text, json.loads(data)


def sidecar(folder, name, data=None, **told):
    """Write a picture and what lies beside it."""
    (folder / name).write_bytes(data or job_states.picture())
    told = {"file": name, "prediction": {"id": name}, **told}
    (folder / f"{name.rpartition('.')[0]}.json").write_text(json.dumps(told))


# What is shown.


def test_every_state_of_a_job_is_shown_as_what_it_is(tmp_path):
    job_states.write_states(tmp_path)
    text, data = read(write_gallery(tmp_path))
    assert list(job_states.STATES) == [each["status"] for each in data]
    for name in job_states.STATES:
        assert f'<span class="state {name}">{STATE_LABELS[name].label}</span>' in text
    assert 12 == text.count("<li ")


def test_there_are_words_for_every_place_where_a_job_can_stand():
    assert {*KNOWN, "missing", "saving"} == set(STATE_LABELS)
    assert [] == [each.name for each in STATE_LABELS.values() if not each.money.endswith(".")]


def test_a_job_is_told_with_its_parameters_times_and_pictures(tmp_path):
    record = job_states.plan(0, "a fox", key="fox", seed=2**60, aspect_ratio="3:2")
    job_states.write(
        tmp_path, job_states.succeed(record, tmp_path, job_states.picture((48, 32)), job_states.picture((48, 32)))
    )
    text, (told,) = read(write_gallery(tmp_path))
    assert ("fox", "black-forest-labs/flux-schnell", "p00000") == (told["key"], told["model"], told["id"])
    # As text, because a script would round the number.
    assert [["prompt", '"a fox"'], ["seed", str(2**60)], ["aspect_ratio", '"3:2"']] == told["input"]
    assert 2.5 == told["seconds"]
    assert ["sent", "answered", "created", "started", "completed"] == [name for name, _ in told["times"]]
    assert [
        {"name": f"00000-{n}.png", "address": f"./00000-{n}.png", "size": [48, 32], "here": True} for n in (1, 2)
    ] == (told["pictures"])
    assert 'src="./00000-1.png" width="48" height="32" alt="" loading="lazy" decoding="async"' in text


def test_what_was_in_flight_when_the_process_died_is_unknown_and_pending_while_one_works(tmp_path):
    job_states.write(tmp_path, job_states.plan(0).sending(job_states.LEFT, "0" * 64, 10))
    assert "unknown" == read(write_gallery(tmp_path))[1][0]["status"]
    writer = JournalWriter(tmp_path)
    writer.open()
    text, (told,) = read(write_gallery(tmp_path))
    writer.close()
    assert "pending" == told["status"]
    assert "data-refresh=" in text
    assert "data-refresh=" not in read(write_gallery(tmp_path))[0]


def test_what_was_under_way_when_a_batch_ended_is_shown_as_unknown_from_then_on(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.open()
    writer.commit([job_states.plan(0).sending(job_states.LEFT, "0" * 64, 10)])
    gallery = Gallery(tmp_path)
    assert "pending" == read(gallery.write().path)[1][0]["status"]
    writer.close()
    text, (told,) = read(gallery.write().path)
    assert "unknown" == told["status"]
    assert "data-refresh=" not in text


def test_what_succeeded_is_being_saved_while_a_batch_runs_and_not_saved_when_it_has_ended(tmp_path):
    succeeded = job_states.accept(job_states.plan(0)).ended(
        job_states.OutcomeKind.SUCCEEDED, job_states.prediction(job_states.plan(0)), None
    )
    writer = JournalWriter(tmp_path)
    writer.open()
    writer.commit([succeeded, job_states.reach("unsaved", job_states.plan(1, "an owl"), tmp_path)])
    gallery = Gallery(tmp_path)
    seen = [[each["status"] for each in read(gallery.write().path)[1]]]
    writer.close()
    seen.append([each["status"] for each in read(gallery.write().path)[1]])
    assert [["saving", "unsaved"], ["unsaved", "unsaved"]] == seen


def test_what_was_given_up_by_hand_may_still_be_billed(tmp_path):
    job_states.write(tmp_path, job_states.plan(0).sending(job_states.LEFT, "0" * 64, 10).abandoned())
    (told,) = read(write_gallery(tmp_path))[1]
    assert "canceled" == told["status"]
    assert told["money"].startswith("It may be billed")


@pytest.mark.skipif(sys.platform == "win32", reason="the command is quoted as the shell of POSIX takes it")
def test_an_unknown_job_is_told_at_the_top_with_the_command_that_settles_it(tmp_path):
    folder = tmp_path / "it's here"
    folder.mkdir()
    job_states.write_states(folder)
    text, _ = read(write_gallery(folder))
    assert f"cometflux unknown '{folder.parent}/it'\"'\"'s here'" in html.unescape(text)


@pytest.mark.parametrize(
    ("account", "options"),
    [(None, ""), (Account(base_url=LOCAL, key=LOCAL), " --local")],
    ids=["the service", "the local service"],
)
def test_the_command_that_resumes_has_local_if_the_pictures_are_of_the_local_service(account, options, tmp_path):
    job_states.write_states(tmp_path, account=account)
    text, _ = read(write_gallery(tmp_path))
    (states,) = re.findall(r'id="states">(.*?)</script>', text)
    assert f"resume{options}" == json.loads(states)["rejected"]["command"]


def test_a_reference_image_is_shown_by_its_name_without_the_folders_of_this_machine(tmp_path):
    """The page may be handed on."""
    home = tmp_path / "home"
    folder = tmp_path / "images"
    folder.mkdir()
    error = errors.InputError("input_image", home / "c.png", "the file cannot be read")
    inputs = [
        {"input_image": home / "a.png"},
        {"input_images": [home / "a.png", home / "b.png"]},
        {"input_image": home / "c.png"},
    ]
    one, several, failed = [attrs.evolve(job_states.plan(number), input=each) for number, each in enumerate(inputs)]
    job_states.write(
        folder,
        job_states.accept(one),
        several,
        failed.ended(job_states.OutcomeKind.NOT_SENT, None, error),
    )
    sidecar(folder, "loose.png", index=9, input={"prompt": "x", "input_image": str(home / "d.png")})
    text, data = read(write_gallery(folder))
    shown = [json.loads(value) for each in data for name, value in each["input"] if name.startswith("input_image")]
    assert ["a.png", ["a.png", "b.png"], "c.png", "d.png"] == shown
    assert "c.png' was given" in data[2]["error"]
    assert str(home) not in text


def test_jobs_that_are_no_longer_planned_are_not_shown(tmp_path):
    job_states.write(tmp_path, job_states.plan(0, "a fox"), job_states.plan(1, "an owl").dropped())
    assert ["#00000"] == [each["key"] for each in read(write_gallery(tmp_path))[1]]


def test_a_folder_without_a_journal_is_shown_by_what_lies_beside_its_pictures(tmp_path):
    told = {"model": "black-forest-labs/flux-dev", "input": {"prompt": "an owl", "seed": 4}}
    service = {"id": "p1", "created_at": "2026-09-21T14:13:20Z", "completed_at": "2026-09-21T14:13:23Z"}
    for number in (1, 2):
        sidecar(tmp_path, f"00001-{number}.png", **told, index=1, key="#00001", prediction=service)
    sidecar(tmp_path, "00000.png", index=0, key="#00000", prediction={"id": "p0"}, input={"prompt": "a fox"})
    first, second = read(write_gallery(tmp_path))[1]
    assert ("p0", "p1") == (first["id"], second["id"])
    assert ["00001-1.png", "00001-2.png"] == [each["name"] for each in second["pictures"]]
    assert (3.0, "saved") == (second["seconds"], second["status"])


def test_pictures_that_the_journal_does_not_know_are_shown_behind_its_jobs(tmp_path):
    job_states.write_states(tmp_path)
    sidecar(tmp_path, "another.png", prediction={"id": "other"})
    # Of a job that the journal knows to be under way: the run that goes on finds it.
    sidecar(tmp_path, "00003.png", prediction={"id": "p00003"})
    data = read(write_gallery(tmp_path))[1]
    assert (13, "other") == (len(data), data[-1]["id"])


def test_what_is_kept_elsewhere_is_a_link_where_a_browser_can_go_there_and_else_a_name(tmp_path):
    elsewhere = ("https://example.org/a.png?b=<c>", "s3://bucket/a.png", "javascript://example.org/%0aalert(1)")
    record = job_states.succeed(job_states.plan(0), tmp_path, *[job_states.picture()] * 3)
    files = [type(file)(name=name, size=1, digest="") for file, name in zip(record.files, elsewhere, strict=True)]
    job_states.write(tmp_path, record.saved(tuple(files), None))
    text, (told,) = read(write_gallery(tmp_path))
    assert [elsewhere[0], None, None] == [each.get("address") for each in told["pictures"]]
    assert 'href="https://example.org/a.png?b=&lt;c&gt;" rel="noopener noreferrer"' in text
    assert not re.search(r'(src|href)="(s3|javascript):', text)


def test_pictures_in_an_object_store_are_named_and_not_missed(tmp_path):
    record = job_states.succeed(
        job_states.plan(0), tmp_path, job_states.picture(), job_states.picture(colour=(1, 2, 3))
    )
    here, there = (file.name for file in record.files)
    (tmp_path / there).unlink()
    job_states.write(tmp_path, record, place="s3://bucket/tour")
    text, (told,) = read(write_gallery(tmp_path))
    assert "saved" == told["status"]
    # One that was fetched into the folder is shown.
    assert [(here, True), (f"s3://bucket/tour/{there}", None)] == [
        (each["name"], each.get("here")) for each in told["pictures"]
    ]
    assert "2 pictures" in text


# What is damaged, and what would lead astray.


def test_a_torn_record_is_told_and_its_picture_is_shown(tmp_path):
    sidecar(tmp_path, "00000.png")
    (tmp_path / "00001.png").write_bytes(job_states.picture())
    (tmp_path / "00001.json").write_text('{"file": "00001.png", "predi')
    (tmp_path / ".cometflux-0123456789abcdef").write_bytes(b"half a pict")
    written = Gallery(tmp_path).write()
    assert ("00001.json is damaged: 00001.png is shown without its details",) == written.notes
    text, data = read(written.path)
    assert ["00000.png", "00001.png"] == [each["pictures"][0]["name"] for each in data]
    assert html.escape(written.notes[0]) in text


def test_of_a_picture_that_the_journal_knows_nothing_else_is_read(tmp_path):
    job_states.write(tmp_path, job_states.succeed(job_states.plan(0), tmp_path, job_states.picture()))
    (tmp_path / "00000-1.json").write_text("{torn")
    written = Gallery(tmp_path).write()
    assert ((), 1) == (written.notes, len(read(written.path)[1]))


def test_what_is_damaged_is_logged(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(job_states.picture())
    (tmp_path / "a.json").write_text("{")
    with caplog.at_level("WARNING", logger="cometflux"):
        write_gallery(tmp_path)
    assert ["a.json is damaged: a.png is shown without its details"] == caplog.messages


def test_of_a_damaged_journal_the_pictures_are_shown_and_the_damage_is_told(tmp_path):
    sidecar(tmp_path, "00000.png")
    (tmp_path / "journal.sqlite3").write_bytes(b"no journal" * 100)
    (note,) = Gallery(tmp_path).write().notes
    assert "is not a journal of cometflux" in note
    assert note.endswith("only the pictures and their records are shown")


def test_a_damaged_journal_alone_is_an_error(tmp_path):
    (tmp_path / "journal.sqlite3").write_bytes(b"no journal" * 100)
    with pytest.raises(errors.JournalError, match="is not a journal of cometflux"):
        write_gallery(tmp_path)
    assert not (tmp_path / "index.html").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda folder: None, "there is no folder", id="no folder"),
        pytest.param(lambda folder: folder.touch(), "is a file, not a folder", id="a file"),
        pytest.param(lambda folder: folder.mkdir(), "there is nothing to show in", id="an empty folder"),
        pytest.param(
            lambda folder: (folder.mkdir(), (folder / "a.png").write_bytes(job_states.picture())),
            "there is nothing to show in",
            id="a picture without its record",
        ),
        pytest.param(
            lambda folder: (folder.mkdir(), (folder / "report.json").write_text('{"file": 3}')),
            "there is nothing to show in",
            id="JSON of somebody else",
        ),
        pytest.param(
            lambda folder: (folder.mkdir(), sidecar(folder, "a.png"), (folder / "index.html").write_text("<p>mine")),
            "is not a page of cometflux and would be overwritten; move it away",
            id="a page of somebody else",
        ),
        pytest.param(
            lambda folder: (folder.mkdir(), sidecar(folder, "a.png"), (folder / "index.html").mkdir()),
            "cannot be written",
            id="a folder in the way",
        ),
    ],
)
def test_where_there_is_nothing_to_show_or_no_place_for_a_page_one_error_says_so(make, said, tmp_path):
    folder = tmp_path / "folder"
    make(folder)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(errors.ConfigError, match=said):
        write_gallery(folder)
    assert before == sorted(tmp_path.rglob("*"))


def test_no_name_and_no_link_leads_out_of_the_folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(job_states.picture((99, 77)))
    (folder / "link.png").symlink_to(secret)
    record = job_states.succeed(job_states.plan(0), folder, *[job_states.picture()] * 4)
    names = ("../secret.png", str(secret), "link.png", "..")
    files = [type(file)(name=name, size=1, digest="") for file, name in zip(record.files, names, strict=True)]
    job_states.write(folder, record.saved(tuple(files), None))
    (folder / "link.json").symlink_to(tmp_path / "out.json")
    (tmp_path / "out.json").write_text('{"file": "link.png", "prediction": {"id": "x"}}')
    text, (told,) = read(write_gallery(folder))
    outside = "its name points outside the folder"
    reasons = [outside, outside, "it is a link, a folder or a pipe, not a file", outside]
    assert reasons == [each["fault"] for each in told["pictures"]]
    assert "missing" == told["status"]
    assert "<img" not in text
    # Nor is it read.
    assert [] == [each for each in told["pictures"] if "size" in each]


def test_a_link_in_the_place_of_the_page_is_replaced_and_not_followed(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    sidecar(folder, "a.png")
    (tmp_path / "precious").write_text("mine")
    (folder / "index.html").symlink_to(tmp_path / "precious")
    path = write_gallery(folder)
    assert "mine" == (tmp_path / "precious").read_text()
    assert not path.is_symlink()


@pytest.mark.posix
def test_the_name_of_a_file_is_escaped_in_its_address(tmp_path):
    sidecar(tmp_path, "a #100% \"'<b>?&:é.png")
    text, _ = read(write_gallery(tmp_path))
    assert 'src="./a%20%23100%25%20%22%27%3Cb%3E%3F%26%3A%C3%A9.png"' in text


# What stays text.


@pytest.mark.posix
def test_a_hostile_text_stays_text_wherever_it_stands(tmp_path):
    folder = tmp_path / "<b>&'\"images"
    folder.mkdir()
    record = job_states.plan(0, HOSTILE, key=HOSTILE, model="black-forest-labs/x", seed=HOSTILE)
    failed = job_states.prediction(record, job_states.Status.FAILED, error=HOSTILE, id=HOSTILE)
    job_states.write(folder, job_states.accept(record).ended(job_states.OutcomeKind.FAILED, failed, None))
    text, (told,) = read(write_gallery(folder))
    assert HOSTILE == told["error"] == told["key"] == json.loads(dict(told["input"])["prompt"])
    # Nothing of it is an element, and no comment or script is closed or opened by it.
    assert "<img src=x" not in text
    assert "<!--" not in text
    assert text.count("<script") == text.count("</script") == 5
    assert "<title>&lt;b&gt;&amp;&#39;&#34;images</title>" in text
    (prompt,) = re.findall(r'class="prompt" dir="auto">(.*?)</span>', text, re.DOTALL)
    assert HOSTILE == html.unescape(prompt)


def test_the_page_may_do_nothing_but_run_its_own_script_and_show_its_own_pictures(tmp_path):
    sidecar(tmp_path, "a.png")
    text, _ = read(write_gallery(tmp_path))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))
    assert ("'none'", "'self' data: file:") == (rules["default-src"], rules["img-src"])
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
    assert (page._digest(style), page._digest(script)) == (rules["style-src"], rules["script-src"])
    assert not re.search(r"<[^>]* (style|on\w+)=", text)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_no_two_files_of_the_script_have_a_name_in_common():
    names = [
        name
        for part in page._SCRIPT
        for name in re.findall(
            r"^(?:async )?(?:function|const|let) (\w+)", page._part(f"script/{part}.js"), re.MULTILINE
        )
    ]
    assert [] == sorted({name for name in names if names.count(name) > 1})


# What a browser makes of it; test_gallery_browser.py goes on.


@pytest.mark.realtime
def test_a_page_opens_in_a_browser_and_hostile_texts_stay_text(tmp_path):
    job_states.write_states(tmp_path, {"failed": HOSTILE, "saved": HOSTILE})
    path = write_gallery(tmp_path)
    with chromium() as browser:
        sight = Sight(browser)
        page = sight.open(path)
        assert 12 == page.locator("#cards li").count()
        # HTML has no way to write a NUL.
        assert HOSTILE.replace("\0", "") == page.locator(".prompt").first.text_content()
        page.locator(".card").first.click()
        assert HOSTILE == page.locator("#view-prompt").text_content()
        assert page.locator("#figure img").evaluate("(image) => image.complete && image.naturalWidth > 0")
        sight.close()
        assert [] == sight.complaints
        assert {"file"} == {url.partition(":")[0] for url in sight.requests} - {"data"}


# What is written again.


def test_what_has_not_changed_is_not_made_again(tmp_path):
    records = [job_states.plan(index, f"fox {index}") for index in range(4)]
    job_states.write(tmp_path, *records)
    gallery = Gallery(tmp_path)
    gallery.write()
    before = {number: made.entry for number, made in gallery._entries[1].items()}
    writer = JournalWriter(tmp_path)
    writer.open()
    writer.commit((), [job_states.accept(records[2])])
    writer.close()
    gallery.write()
    assert [3] == [number for number, made in gallery._entries[1].items() if made.entry is not before[number]]
    assert ["waiting", "waiting", "pending", "waiting"] == [each["status"] for each in read(tmp_path / "index.html")[1]]


def test_a_picture_that_goes_and_comes_back_is_followed(tmp_path):
    job_states.write(tmp_path, job_states.succeed(job_states.plan(0), tmp_path, job_states.picture()))
    gallery = Gallery(tmp_path)
    seen = []
    for step in (
        lambda path: None,
        lambda path: path.unlink(),
        lambda path: path.write_bytes(job_states.picture((9, 8))),
    ):
        step(tmp_path / "00000-1.png")
        (told,) = read(gallery.write().path)[1]
        seen.append((told["status"], told["pictures"][0].get("size")))
    assert [("saved", [48, 32]), ("missing", None), ("saved", [9, 8])] == seen


def test_a_page_that_cannot_be_written_leaves_the_one_before_as_it_was(tmp_path):
    sidecar(tmp_path, "a.png")
    before = write_gallery(tmp_path).read_bytes()
    sidecar(tmp_path, "b.png")
    script = (
        "import resource, signal; from cometflux.gallery import write_gallery\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"write_gallery({str(tmp_path)!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert "ConfigError" in done.stderr
    assert "index.html' cannot be written: File too large" in done.stderr
    assert before == (tmp_path / "index.html").read_bytes()
    assert [] == list(tmp_path.glob(".cometflux-*"))


def test_a_page_says_when_it_was_written(tmp_path):
    sidecar(tmp_path, "a.png")
    before = datetime.now(UTC).replace(microsecond=0)
    text, _ = read(write_gallery(tmp_path))
    (written,) = re.findall(r'data-written="([^"]*)"', text)
    assert before <= datetime.fromisoformat(written) <= datetime.now(UTC)


def test_without_the_extra_one_error_names_it():
    script = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from cometflux.gallery import write_gallery; write_gallery('.')"
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert 'the gallery needs an extra: pip install "cometflux[gallery]"' in done.stderr


# How large a picture is.


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("size", [(48, 32), (1, 300), (1024, 77)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_size_of_a_picture_is_read_from_its_first_bytes(form, size):
    assert size == read_size(BytesIO(job_states.picture(size, form=form)))


def test_the_size_of_a_jpeg_is_found_behind_what_others_put_before_it():
    data = job_states.picture((48, 32), form="JPEG")
    extra = b"".join(b"\xff\xe1" + struct.pack(">H", 60_002) + b"\xff\xc0" * 30_000 for _ in range(3))
    assert (48, 32) == read_size(BytesIO(data[:2] + extra + b"\xff\xff" + data[3:]))


@pytest.mark.parametrize("mode", [{"lossless": True}, {"lossless": False}, {"lossless": True, "exif": b"Exif\0\0"}])
def test_the_size_of_every_kind_of_webp_is_read(mode):
    from PIL import Image

    file = BytesIO()
    Image.new("RGBA", (301, 17), (1, 2, 3, 128)).save(file, "WEBP", **mode)
    assert (301, 17) == read_size(BytesIO(file.getvalue()))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_of_a_picture_that_is_cut_or_damaged_no_size_is_made_up(form):
    data = job_states.picture((48, 32), form=form)
    for end in range(24):
        read_size(BytesIO(data[:end]))
    assert None is read_size(BytesIO(data[:9]))
    assert None is read_size(BytesIO(b"\xff\xd8" + b"\xff" * 5000))


# What can be seen.


def _schemes():
    style = page._part("style.css")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[:2]
    colours = [dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})", part)) for part in (light, dark)]
    return {"light": colours[0], "dark": colours[1]}


def _channels(colour):
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _mixed(first, second, share):
    return [a * share + b * (1 - share) for a, b in zip(first, second, strict=True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(scheme):
    colours = {name: _channels(value) for name, value in _schemes()[scheme].items()}
    assert set(STATE_LABELS) <= set(colours)
    pairs = [("ink", "page"), ("ink", "surface"), ("soft", "page"), ("soft", "surface")]
    pairs += [(name, ground) for name in STATE_LABELS for ground in ("page", "surface")]
    weak = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs}
    # The tiles of jobs without a picture have a little of their own colour.
    for name in STATE_LABELS:
        weak[name, "tile"] = contrast(colours[name], _mixed(colours[name], colours["surface"], 0.09))
    # The number on a chip is a little faded.
    weak["count", "page"] = contrast(_mixed(colours["ink"], colours["page"], 0.75), colours["page"])
    assert {} == {pair: value for pair, value in weak.items() if value < 4.5}
    edges = {
        (edge, ground): contrast(colours[edge], colours[ground])
        for edge in ("edge", "focus")
        for ground in ("page", "surface")
    }
    assert {} == {pair: value for pair, value in edges.items() if value < 3}


def test_no_two_states_that_differ_in_money_share_a_colour_and_a_sign():
    colours = _schemes()["light"]
    seen = {}
    for name, state in STATE_LABELS.items():
        seen.setdefault((colours[name], state.icon), []).append(name)
    assert [["missing", "unsaved"]] == [names for names in seen.values() if len(names) > 1]
