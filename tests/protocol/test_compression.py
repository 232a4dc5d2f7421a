"""Bodies that came compressed although they were requested uncompressed."""

import gzip
import time
import tracemalloc
import zlib

import pytest

from cometflux.protocol.compression import decompress

TEXT = b'{"id": "abc", "status": "starting"}' * 20


def deflate(data, window=zlib.MAX_WBITS):
    stream = zlib.compressobj(wbits=window)
    return stream.compress(data) + stream.flush()


CODINGS = {
    "gzip": ("gzip", gzip.compress(TEXT)),
    "gzip by its old name": ("x-gzip", gzip.compress(TEXT)),
    "in capitals": (" GZIP ", gzip.compress(TEXT)),
    "deflate": ("deflate", deflate(TEXT)),
    "deflate without its wrapper": ("deflate", deflate(TEXT, -zlib.MAX_WBITS)),
    "not at all": ("identity", TEXT),
    "empty": ("", TEXT),
    "twice": ("deflate, gzip", gzip.compress(deflate(TEXT))),
    "plain, labelled as gzip": ("gzip", TEXT),
}


@pytest.mark.parametrize(("coding", "body"), CODINGS.values(), ids=CODINGS)
def test_a_compressed_body_is_read(coding, body):
    assert (TEXT, None) == decompress(body, coding, 10_000)


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_a_compressed_body_that_is_torn_gives_what_came(name):
    found, cut = decompress(CODINGS[name][1][:-6], name, 10_000)
    assert TEXT[:40] == found[:40]
    assert f"it came compressed ({name}), and its end is missing" == cut


@pytest.mark.parametrize(
    ("coding", "body", "says"),
    [
        ("zstd", b"x", "it came compressed (zstd), and cannot be read: there is no decoder for it"),
        ("deflate", b"\xff" * 30, "it came compressed (deflate), and cannot be read: "),
        ("gzip, gzip, gzip, gzip", b"x", "it came compressed 4 times"),
    ],
)
def test_a_body_that_cannot_be_decompressed_says_why(coding, body, says):
    found, cut = decompress(body, coding, 100)
    assert body == found
    assert cut.startswith(says)


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip"])
def test_a_bomb_stops_at_the_limit(coding):
    """The bytes that come out count, so a small body cannot fill the memory."""
    bomb = deflate(bytes(50_000_000)) if coding == "deflate" else gzip.compress(bytes(50_000_000), 1)
    if coding == "gzip, gzip":
        bomb = gzip.compress(bomb)
    tracemalloc.start()
    began = time.thread_time()
    found, cut = decompress(bomb, coding, 1_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (1_000_000, "it is larger than 1000000 bytes") == (len(found), cut)
    assert peak < 5_000_000
    assert time.thread_time() - began < 5


def test_a_brotli_bomb_stops_at_the_limit_if_there_is_a_decoder():
    brotli = pytest.importorskip("brotli", minversion="1.2")
    assert (TEXT, None) == decompress(brotli.compress(TEXT), "br", 10_000)
    found, cut = decompress(brotli.compress(bytes(50_000_000)), "br", 1000)
    assert (1000, "it is larger than 1000 bytes") == (len(found), cut)
