"""A test of memory fails when memory is taken, also after one that took more."""

import sys

import memory_growth
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


def test_what_was_taken_and_given_back_in_the_block_counts_and_what_was_taken_before_does_not():
    # The last one keeps the others, which are too small to be mapped, from being given back to the system.
    before = [bytes(64_000) for _ in range(1600)]
    last = before[-1]
    before.clear()
    with memory_growth.at_most(20_000_000):
        pass
    with pytest.raises(AssertionError, match="grew by"), memory_growth.at_most(20_000_000):
        del (within := bytearray(50_000_000))[:]
    assert last
    assert not within
