"""Pictures that cost much memory to decode: the commands read what they need, and only a contact sheet decodes."""

import io
import json
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from cometflux.testing import LocalService
from cometflux.testing.artwork import draw

MOST = 400
"""The megabytes that a command may take more than an idle one."""
SIDE = 13_300
MEASURE = (
    "import json, resource, subprocess, sys;"
    "done = subprocess.run([sys.executable, '-m', 'cometflux.cli', *sys.argv[1:]], capture_output=True, text=True);"
    "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024;"
    "print(json.dumps([peak, done.returncode, done.stdout, done.stderr]))"
)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deflated(part, count):
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(part) for _ in range(count)) + packer.flush()


def png(side, more=b""):
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = deflated(bytes(1 + 3 * side), side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg(side):
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "JPEG", progressive=True, quality=10)
    return file.getvalue()


def broken_webp():
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "WEBP")
    data = bytearray(file.getvalue())
    data[40:60] = b"\xff" * 20
    return bytes(data)


def animation(frames):
    file = io.BytesIO()
    pictures = [Image.new("L", (16, 16), 255 * (number % 2)) for number in range(frames)]
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:])
    return file.getvalue()


BOMBS = {
    "13,300 pixels square": lambda: png(SIDE),
    "a gigabyte of text": lambda: png(8, chunk(b"zTXt", b"cometflux\0\0" + deflated(bytes(2**20), 1024))),
    "progressive": lambda: jpeg(SIDE),
    "broken": broken_webp,
    "10,000 frames": lambda: animation(10_000),
}


def run(*arguments):
    """Run the command; return its peak in megabytes, its code, stdout and stderr."""
    done = subprocess.run([sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def check(idle, *arguments):
    peak, code, _, err = run(*arguments)
    assert 0 == code, err
    assert peak - idle < MOST
    print(f"{arguments[0]}: {peak - idle} MB more than {idle}")


@pytest.mark.hard
@pytest.mark.realtime
@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_a_picture_that_is_a_bomb_costs_little_memory(make, tmp_path, monkeypatch):
    data = make()
    monkeypatch.setattr(draw, "draw", lambda *_, **__: data)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("a boat\n")
    with LocalService.in_thread(latency=0.05) as service:
        monkeypatch.setenv("COMETAPI_KEY", service.key)
        monkeypatch.setenv("COMETFLUX_BASE_URL", service.url)
        idle, *_ = run("models")
        check(idle, "batch", "p.txt", "--out", "out", "--embed", "--gallery")
        check(idle, "gallery", "out")
        check(idle, "gallery", "out", "--sheet")
        (picture,) = (path for path in (tmp_path / "out").glob("0*") if path.suffix != ".json")
        check(idle, "show", str(picture))
    assert 1 == len(service.bills)
