"""The server of the gallery: only its page gets in, only pictures get out, and marks are written at once."""

import asyncio
import json

import job_states
import pytest

from cometflux.cli.gallery.guard import Guard
from cometflux.cli.gallery.server import GalleryServer
from cometflux.errors import ConfigError
from cometflux.storage.paths import PICKS

TOKEN = "the-token"


@pytest.fixture
def foxes(tmp_path):
    """A folder with three saved pictures."""
    folder = tmp_path / "foxes"
    folder.mkdir()
    records = [job_states.plan(number, f"fox {number}") for number in range(3)]
    job_states.write(folder, *(job_states.succeed(each, folder, job_states.picture()) for each in records))
    return folder


@pytest.fixture
async def server(foxes):
    async with GalleryServer(foxes, TOKEN) as server:
        yield server


def port_of(server):
    return int(server.url.split(":")[2].partition("/")[0])


async def send(server, path, method="GET", body=b"", **headers):
    """Send a request as it stands, and return the status, the headers and the body of the response."""
    port = port_of(server)
    own = {"Host": f"127.0.0.1:{port}", "Connection": "close", "Content-Length": len(body)}
    if method == "POST":
        own["Origin"] = f"http://127.0.0.1:{port}"
    given = {name.replace("_", "-"): value.replace("PORT", str(port)) for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in {**own, **given}.items() if value != "without"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body)
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    first, *more = head.decode().split("\r\n")
    return int(first.split()[1]), {line.partition(": ")[0]: line.partition(": ")[2] for line in more}, rest


def line(file, mark):
    return json.dumps({"file": file, "mark": mark}).encode() + b"\n"


def marks(folder):
    return (folder / PICKS).read_text() if (folder / PICKS).exists() else None


STAR = line("00000-1.png", "star")


# ── who gets in ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        pytest.param("/", {}, id="no token"),
        pytest.param("/marks", {}, id="the path alone"),
        pytest.param("/the-toke/marks", {}, id="a token cut short"),
        pytest.param("/the-token2/marks", {}, id="a longer token"),
        pytest.param("/THE-TOKEN/marks", {}, id="other case"),
        pytest.param("/%74he-token/marks", {}, id="escaped"),
        pytest.param("//the-token/marks", {}, id="two slashes"),
        pytest.param("/x/../the-token/marks", {}, id="a way round"),
        pytest.param("/favicon.ico", {}, id="what browsers fetch by themselves"),
        pytest.param("/?token=the-token", {}, id="in the query"),
        pytest.param("*", {}, id="no path"),
        pytest.param("/the-token/marks", {"Host": "evil.example"}, id="another name"),
        pytest.param("/the-token/marks", {"Host": "evil.example:PORT"}, id="another name with the port"),
        pytest.param("/the-token/marks", {"Host": "127.0.0.1"}, id="no port"),
        pytest.param("/the-token/marks", {"Host": "127.0.0.1:1"}, id="another port"),
        pytest.param("/the-token/marks", {"Host": "127.0.0.1.evil.example:PORT"}, id="a name that begins alike"),
    ],
)
async def test_whoever_lacks_the_token_or_comes_by_another_name_gets_403_and_nothing_is_written(
    server, foxes, path, headers
):
    for method in ("GET", "POST", "PUT"):
        status, sent, body = await send(server, path, method, STAR, **headers)
        # "*" is no path of a GET, and the server's own parser says so.
        assert status == 403 or (path == "*" and status == 400)
        assert TOKEN.encode() not in body
        assert "Access-Control-Allow-Origin" not in sent
    assert marks(foxes) is None


@pytest.mark.parametrize(
    "origin", ["without", "null", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:PORT", "file://"]
)
async def test_marks_are_taken_from_the_servers_own_page_only(server, foxes, origin):
    status, _, _ = await send(server, f"/{TOKEN}/marks", "POST", STAR, Origin=origin)
    assert (403, None) == (status, marks(foxes))


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE"])
async def test_no_other_method_is_taken_and_no_other_site_is_let_in(server, method):
    status, sent, _ = await send(server, f"/{TOKEN}/marks", method, Origin="http://evil.example")
    assert 403 == status
    assert not [name for name in sent if name.startswith("Access-Control")]


async def test_the_names_of_this_machine_are_taken(server):
    for name in ("127.0.0.1", "localhost"):
        host = {"Host": f"{name}:PORT"}
        assert 200 == (await send(server, f"/{TOKEN}/", **host))[0]
        assert 204 == (await send(server, f"/{TOKEN}/marks", "POST", STAR, Origin=f"http://{name}:PORT", **host))[0]


def test_on_the_usual_port_browsers_leave_it_out():
    guard = Guard(port=80, token="x")
    assert guard.refusal("GET", "/x/", {"Host": "127.0.0.1"}) is None
    assert guard.refusal("GET", "/x/", {"Host": "evil.example"})
    assert "secret" not in repr(Guard(port=1, token="secret"))


async def test_it_listens_on_loopback_only(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert {"127.0.0.1"} == {address[0] for address in server._runner.addresses}


# ── what gets out ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_page_and_its_pictures_are_served(server, foxes):
    status, sent, page = await send(server, f"/{TOKEN}/")
    assert (200, "text/html; charset=utf-8") == (status, sent["Content-Type"])
    assert b"data-served" in page
    assert b'src="./00000-1.png"' in page
    status, sent, picture = await send(server, f"/{TOKEN}/00000-1.png")
    assert (200, "image/png", "nosniff") == (status, sent["Content-Type"], sent["X-Content-Type-Options"])
    assert (foxes / "00000-1.png").read_bytes() == picture
    status, _, rest = await send(server, f"/{TOKEN}/00000-1.png", If_None_Match=sent["ETag"])
    assert (304, b"") == (status, rest)
    assert not (foxes / "index.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("journal.sqlite3", "journal.sqlite3-wal", "picks.jsonl", "00000-1.json", "secret.png", "index-x.html"),
        *("../secret.png", "..%2fsecret.png", "%2e%2e/secret.png", "..\\secret.png", "./00000-1.png/../../secret.png"),
        *("/etc/passwd", "%2fetc%2fpasswd", "00000-1.png%00.png", "link.png", "folder.png/00000-1.png", "%ff.png"),
    ],
)
async def test_nothing_else_leaves_the_folder(server, foxes, name):
    (foxes.parent / "secret.png").write_bytes(b"secret")
    (foxes / "secret.png").write_bytes(b"secret")
    (foxes / PICKS).write_bytes(STAR)
    (foxes / "link.png").symlink_to(foxes.parent / "secret.png")
    (foxes / "folder.png").symlink_to(foxes)
    status, _, body = await send(server, f"/{TOKEN}/{name}")
    assert status in (403, 404)
    assert b"secret" != body


@pytest.mark.parametrize("to", ["../secret.png", "journal.sqlite3"], ids=["out of the folder", "in the folder"])
async def test_a_file_that_is_a_link_by_now_is_not_followed(server, foxes, to):
    (foxes.parent / "secret.png").write_bytes(b"secret")
    (foxes / "00000-1.png").unlink()
    (foxes / "00000-1.png").symlink_to(foxes / to)
    assert 404 == (await send(server, f"/{TOKEN}/00000-1.png"))[0]


async def test_a_file_that_a_journal_calls_a_picture_is_served_only_if_it_is_named_as_one(tmp_path):
    saved = job_states.succeed(job_states.plan(0), tmp_path, job_states.picture())
    hostile = saved.saved(tuple(job_states.SavedFile(name=n, size=1, digest="") for n in ("x.html", "x.svg")), None)
    job_states.write(tmp_path, hostile)
    for name in ("x.html", "x.svg"):
        (tmp_path / name).write_text("<script>alert(1)</script>")
    async with GalleryServer(tmp_path, TOKEN) as server:
        assert 200 == (await send(server, f"/{TOKEN}/"))[0]
        for name in ("x.html", "x.svg"):
            assert 404 == (await send(server, f"/{TOKEN}/{name}"))[0]


async def test_a_picture_in_a_subfolder_is_served_and_marked_unless_the_subfolder_is_a_link(tmp_path):
    for name in ("inside", "foxes/dev"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "foxes/linked").symlink_to(tmp_path / "inside")
    names = ["dev/1.png", "linked/1.png"]
    for name in names:
        (tmp_path / "foxes" / name).write_bytes(job_states.picture())
    saved = job_states.succeed(job_states.plan(0), tmp_path / "foxes")
    files = tuple(job_states.SavedFile(name=name, size=1, digest="") for name in names)
    job_states.write(tmp_path / "foxes", saved.saved(files, None))
    async with GalleryServer(tmp_path / "foxes", TOKEN) as server:
        assert 200 == (await send(server, f"/{TOKEN}/"))[0]
        assert [200, 404] == [(await send(server, f"/{TOKEN}/{name.replace('/', '%2F')}"))[0] for name in names]
        assert 204 == (await send(server, f"/{TOKEN}/marks", "POST", line(names[0], "star")))[0]
    assert {"file": names[0], "mark": "star"} == json.loads(marks(tmp_path / "foxes"))


async def test_odd_names_of_files_are_served(tmp_path):
    name = "a fox? #1%2f é \U0001f98a.png"
    (tmp_path / name).write_bytes(job_states.picture())
    record = {"file": name, "prediction": {"id": "x"}}
    (tmp_path / name).with_suffix(".json").write_text(json.dumps(record))
    async with GalleryServer(tmp_path, TOKEN) as server:
        _, _, page = await send(server, f"/{TOKEN}/")
        address = page.decode().partition('src="./')[2].partition('"')[0]
        assert 200 == (await send(server, f"/{TOKEN}/{address}"))[0]
        assert 204 == (await send(server, f"/{TOKEN}/marks", "POST", line(name, "star")))[0]
    assert {"file": name, "mark": "star"} == json.loads(marks(tmp_path))


# ── the marks ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_marks_are_written_at_once_and_read_by_every_tab(server, foxes):
    _, sent, before = await send(server, f"/{TOKEN}/marks")
    assert b"{}" == before
    body = STAR + line("00001-1.png", "reject")
    assert 204 == (await send(server, f"/{TOKEN}/marks", "POST", body))[0]
    assert body.decode() == marks(foxes)
    _, later, now = await send(server, f"/{TOKEN}/marks", If_None_Match=sent["ETag"])
    assert {"00000-1.png": "star", "00001-1.png": "reject"} == json.loads(now)
    assert 304 == (await send(server, f"/{TOKEN}/marks", If_None_Match=later["ETag"]))[0]
    assert 204 == (await send(server, f"/{TOKEN}/marks", "POST", line("00000-1.png", "none")))[0]
    assert line("00001-1.png", "reject").decode() == marks(foxes)
    assert b'"00001-1.png":"reject"' in (await send(server, f"/{TOKEN}/"))[2]


async def test_marks_of_several_tabs_at_once_are_all_kept(server, foxes):
    names = [f"0000{number}-1.png" for number in range(3)]
    sent = [send(server, f"/{TOKEN}/marks", "POST", line(name, "star")) for name in names]
    assert [204] * 3 == [status for status, _, _ in await asyncio.gather(*sent)]
    assert sorted(names) == sorted(json.loads(each)["file"] for each in marks(foxes).splitlines())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(line("../secret.png", "star"), "no picture '../secret.png'", id="a name that leads out"),
        pytest.param(STAR + line("other.png", "none"), "no picture 'other.png'", id="another picture, among others"),
        pytest.param(line("00000-1.png", "love"), "line 1: must be", id="another mark"),
        pytest.param(b"\xff" * 99, "line 1: must be", id="no text"),
        pytest.param(STAR + b'{"file": "000', "line 2: is cut off", id="cut off"),
    ],
)
async def test_a_mark_that_is_wrong_is_refused_with_its_reason_and_nothing_is_written(server, foxes, body, told):
    status, _, answer = await send(server, f"/{TOKEN}/marks", "POST", body)
    assert (409, None) == (status, marks(foxes))
    assert told in answer.decode()


async def test_a_request_that_is_too_long_is_refused(server, foxes):
    assert 413 == (await send(server, f"/{TOKEN}/marks", "POST", STAR * 200_000))[0]
    assert marks(foxes) is None


@pytest.mark.parametrize("damage", ["{torn", line("other.png", "star").decode()], ids=["torn", "another folder's"])
async def test_a_file_of_marks_that_is_wrong_is_told_and_never_overwritten(server, foxes, damage):
    (foxes / PICKS).write_text(damage)
    for method in ("GET", "POST"):
        status, _, answer = await send(server, f"/{TOKEN}/marks", method, STAR)
        assert 409 == status
        assert PICKS in answer.decode()
    assert damage == marks(foxes)
    with pytest.raises(ConfigError, match=PICKS):
        await GalleryServer(foxes, TOKEN).__aenter__()


async def test_a_folder_that_cannot_be_written_is_told(server, foxes):
    (foxes / PICKS).mkdir()
    status, _, answer = await send(server, f"/{TOKEN}/marks", "POST", STAR)
    assert 409 == status
    assert "cannot be read" in answer.decode()


async def test_pictures_that_come_while_it_serves_are_on_the_next_page(server, foxes):
    late = job_states.succeed(job_states.plan(3, "late"), foxes, job_states.picture())
    writer = job_states.JournalWriter(foxes)
    writer.open()
    writer.commit([late])
    writer.close()
    assert 404 == (await send(server, f"/{TOKEN}/00003-1.png"))[0]
    assert b"00003-1.png" in (await send(server, f"/{TOKEN}/"))[2]
    assert 200 == (await send(server, f"/{TOKEN}/00003-1.png"))[0]


async def test_each_page_of_a_large_folder_is_served_under_its_name(server, foxes):
    server._gallery.jobs_per_page = 2
    for name, told in (("", b"Jobs 1 to 2 of 3."), ("index.html", b"Jobs 1 to 2"), ("index-2.html", b"Jobs 3 to 3")):
        status, _, body = await send(server, f"/{TOKEN}/{name}")
        assert (200, True) == (status, told in body)
    # The pictures of the other pages are served, too.
    assert 200 == (await send(server, f"/{TOKEN}/00000-1.png"))[0]
