"""A regular file is read without waiting and within a bound; anything else under its name is refused in words."""

import errno
import os
import threading
from pathlib import Path

import odd_files
import pytest

from cometflux.basics.regular_files import IrregularFileError, open_regular, read_exactly, read_pipe, read_regular

REFUSED = {
    "a pipe": "it is a pipe, not a file",
    "a socket": "it is a socket, not a file",
    "a folder": "Is a directory",
    "a link to a device": "it is a link, not a file",
    "a link to itself": "it is a link, not a file",
    "a device": "it is a device, not a file",
    "huge": "it is larger than 1 MiB",
    "unreadable": "Permission denied",
}


@pytest.mark.parametrize("kind", odd_files.KINDS.keys() & REFUSED.keys())
def test_what_is_not_a_readable_file_is_refused_at_once(kind, tmp_path):
    path = tmp_path / "x"
    odd_files.put(kind, path)
    with odd_files.time_limit(2.0, tmp_path), pytest.raises(OSError, match=REFUSED[kind]) as caught:
        read_regular(path, 2**20)
    assert REFUSED[kind] == caught.value.strerror


@pytest.mark.parametrize("kind", odd_files.KINDS.keys() & REFUSED.keys() - {"huge"})
def test_what_is_not_a_readable_file_is_refused_by_its_size_too(kind, tmp_path):
    path = tmp_path / "x"
    odd_files.put(kind, path)
    with odd_files.time_limit(2.0, tmp_path), pytest.raises(OSError, match=REFUSED[kind]):
        read_exactly(path, 4)


@pytest.mark.parametrize("data", [b"", b"b", b"boat", b"boats"])
def test_a_file_is_read_if_it_has_just_the_size(data, tmp_path):
    (tmp_path / "x").write_bytes(data)
    assert (data if data == b"boat" else None) == read_exactly(tmp_path / "x", 4)
    assert data == read_exactly(tmp_path / "x", len(data))


@pytest.mark.parametrize("target", ["a file", "a device", "a pipe"])
def test_a_link_is_followed_only_if_that_is_wanted_and_leads_to_a_file(target, tmp_path):
    places = {"a file": tmp_path / "x", "a device": "/dev/zero", "a pipe": tmp_path / "p"}
    (tmp_path / "x").write_bytes(b"boat")
    os.mkfifo(tmp_path / "p")
    link = tmp_path / "link"
    link.symlink_to(places[target])
    with pytest.raises(IrregularFileError):
        open_regular(link)
    if target == "a file":
        assert b"boat" == read_regular(link, 4, follows_links=True)
    else:
        with pytest.raises(IrregularFileError, match=target):
            read_regular(link, 4, follows_links=True)


@pytest.mark.parametrize(("most", "is_read"), [(4, True), (3, False)])
def test_a_file_is_read_whole_or_not_at_all(most, is_read, tmp_path):
    (tmp_path / "x").write_bytes(b"boat")
    if is_read:
        assert b"boat" == read_regular(tmp_path / "x", most)
    else:
        with pytest.raises(OSError, match="larger") as caught:
            read_regular(tmp_path / "x", most)
        assert errno.EFBIG == caught.value.errno


def test_the_pipe_of_a_shell_is_read_to_its_end(tmp_path):
    start, end = os.pipe()
    writer = threading.Timer(0.02, lambda: (os.write(end, b"a boat"), os.close(end)))
    writer.start()
    with odd_files.time_limit(2.0, tmp_path):
        assert b"a boat" == read_pipe(Path(f"/dev/fd/{start}"), 100)
    writer.join()
    os.close(start)


def test_a_pipe_that_nobody_writes_to_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "p")
    with odd_files.time_limit(2.0, tmp_path), pytest.raises(OSError, match="nobody writes to this pipe"):
        read_pipe(tmp_path / "p", 100)
