"""A prompt file that is divided among machines that share a bucket: nothing is submitted twice there."""

import shutil
from pathlib import Path

import pytest
from command_line import run
from s3_server import NAME

pytestmark = pytest.mark.usefixtures("folder", "polling_at_once", "prompt_file")
PLACE = f"s3://{NAME}/tour"
PROMPTS = [f"boat {number}" for number in range(6)]


@pytest.fixture
def prompt_file(folder):
    Path("a.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))


def prompts(service):
    return sorted(bill.input["prompt"] for bill in service.bills)


def pictures(bucket):
    return [name for name in bucket.names() if name.endswith(".webp")]


def state(bucket, service):
    """The bucket, the files on this machine, and the number of bills."""
    files = [path for path in Path().rglob("*") if path.is_file()]
    return bucket.names(), sorted(files), len(service.bills)


def test_two_parts_share_a_bucket_and_make_every_job_once(bucket, service):
    for number in (1, 2):
        run(f"batch a.txt --out {PLACE} --part {number}/2")
    assert sorted(PROMPTS) == prompts(service)
    expected = [f"tour/{number:05}-boat-{number}.webp" for number in range(6)]
    assert expected == pictures(bucket), "each image has the name that it has in the whole list"
    for number in (1, 2):
        run(f"batch a.txt --out {PLACE} --part {number}/2")
        run(f"resume a-images/part-{number}-of-2")
    assert 6 == len(service.bills)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("batch a.txt --part 1/2 --journal there", 3, f"part 1/2 of {PLACE} belongs to another journal"),
        ("batch a.txt --part 2/3", 3, f"{PLACE} holds a list in 2 parts, so 2/3 is not a part of it"),
        ("batch a.txt", 2, f"{PLACE} holds a list in 2 parts: give --part K/2, or use another place with --out"),
        ("batch a.txt --journal there", 2, f"{PLACE} holds a list in 2 parts: give --part K/2"),
        ("generate 'a boat'", 2, f"{PLACE} holds a list in 2 parts: use another place with --out"),
    ],
    ids=["another journal", "another number", "left off", "left off, with a journal", "prompts"],
)
def test_who_would_submit_again_is_refused_and_leaves_nothing(line, code, says, bucket, service, capsys):
    run(f"batch a.txt --out {PLACE} --part 1/2")
    before = state(bucket, service)
    capsys.readouterr()
    run(f"{line} --out {PLACE}", code)
    assert f"error: {says}" in capsys.readouterr().err
    assert before == state(bucket, service)


@pytest.mark.parametrize(
    ("first", "then"),
    [("", ""), ("", "--journal there"), ("--journal there", "--journal there")],
    ids=["the journals by default", "then another folder", "both in another folder"],
)
def test_a_list_that_was_begun_there_without_parts_takes_none(first, then, bucket, service, capsys):
    run(f"batch a.txt --out {PLACE} {first} --limit 1", 4)
    before = state(bucket, service)
    run(f"batch a.txt --out {PLACE} {then} --part 1/2", 2)
    assert "was begun without --part: leave --part out, or use another place" in capsys.readouterr().err
    assert before == state(bucket, service)


def test_resume_goes_on_with_the_journal_of_a_list_that_was_begun_both_ways(bucket, service):
    run(f"batch a.txt --out {PLACE} --journal there --limit 1", 4)
    run(f"batch a.txt --out {PLACE} --part 1/1")
    assert 7 == len(service.bills), "this is not noticed, as nobody said where the other journal is"
    run(f"batch a.txt --out {PLACE} --journal there", 2)
    assert 7 == len(service.bills)
    run("resume there")
    assert 12 == len(service.bills)


def test_a_list_without_parts_in_another_place_is_another_list(bucket, service):
    run(f"batch a.txt --out {PLACE}-2")
    run(f"batch a.txt --out {PLACE} --part 1/1")
    assert 12 == len(pictures(bucket))


def test_a_claim_that_was_lost_is_made_again_by_its_own_journal(bucket, service):
    run(f"batch a.txt --out {PLACE} --part 1/2")
    before = state(bucket, service)
    for name in (".cometflux-part-1-of-2.json", ".cometflux-parts.json"):
        bucket.remove(f"tour/{name}")
        run(f"batch a.txt --out {PLACE} --part 1/2")
        assert before == state(bucket, service)


def test_a_part_whose_claim_was_removed_is_made_again_by_another_journal(bucket, service):
    run(f"batch a.txt --out {PLACE} --part 1/2")
    mine = prompts(service)
    shutil.rmtree("a-images")
    bucket.remove("tour/.cometflux-part-1-of-2.json")
    run(f"batch a.txt --out {PLACE} --part 1/2")
    assert sorted(mine * 2) == prompts(service)
    assert len(mine) * 2 == len(pictures(bucket)), "no image replaces another one"


@pytest.mark.parametrize("line", ["batch a.txt", "batch a.txt --part 1/2", "generate 'a boat'"])
def test_a_place_that_cannot_be_read_is_refused(line, bucket, service, folder, capsys):
    bucket.fail("403 AccessDenied", times=50, method="GET", part=".cometflux-part")
    run(f"{line} --out {PLACE}", 3)
    assert "access is denied" in capsys.readouterr().err
    assert ([], ["a.txt"], 0) == (bucket.names(), [path.name for path in folder.iterdir()], len(service.bills))
