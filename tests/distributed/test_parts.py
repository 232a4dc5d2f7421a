"""A list divided among machines that share nothing."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometflux.distributed.parts import Part, claim_part
from cometflux.errors import ConfigError
from cometflux.storage.folder import Folder


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 50))
def test_every_job_is_in_exactly_one_part(identity, count):
    assert 1 == sum(Part(number, count).has(identity) for number in range(1, count + 1))


def test_the_parts_of_a_long_list_are_of_about_the_same_size():
    part = Part(3, 8)
    assert 1100 < sum(part.has(f"job {number}") for number in range(10_000)) < 1400


@pytest.mark.parametrize("text", ["0/8", "9/8", "1/0", "1/20000", "-1/8", "1", "a/b", "1/8/2", "", "1.0/8", "٣/٨"])
def test_what_is_not_a_part_is_refused(text):
    with pytest.raises(ConfigError, match="must be K/N"):
        Part.of(text)


def test_a_part_is_read_as_it_is_written():
    assert "3/8" == str(Part.of(" 3/8 "))


async def test_a_part_is_claimed_once_and_again_for_the_same_journal(tmp_path):
    files = Folder(tmp_path)
    await claim_part(files, Part(1, 2), "journal a")
    await claim_part(files, Part(1, 2), "journal a")
    await claim_part(files, Part(2, 2), "journal b")
    owners = [json.loads((tmp_path / Part(number, 2).claim).read_text())["journal"] for number in (1, 2)]
    assert ["journal a", "journal b"] == owners


async def test_a_part_of_another_journal_is_refused(tmp_path):
    await claim_part(Folder(tmp_path), Part(1, 2), "journal a")
    with pytest.raises(ConfigError, match="belongs to another journal"):
        await claim_part(Folder(tmp_path), Part(1, 2), "journal b")


async def test_another_number_of_parts_is_refused(tmp_path):
    await claim_part(Folder(tmp_path), Part(1, 2), "journal a")
    with pytest.raises(ConfigError, match="in 2 parts"):
        await claim_part(Folder(tmp_path), Part(1, 3), "journal a")


@pytest.mark.parametrize("left", ["", "[]", "no json", '{"journal": 7}'])
async def test_a_claim_that_cannot_be_read_is_refused(tmp_path, left):
    (tmp_path / Part(1, 2).claim).write_text(left)
    with pytest.raises(ConfigError, match="another journal"):
        await claim_part(Folder(tmp_path), Part(1, 2), "journal a")
