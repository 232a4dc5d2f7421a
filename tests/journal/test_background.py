"""The journal written by many tasks at once: in few commits, in order, and with nothing lost or left waiting."""

import asyncio
import contextlib
import sqlite3
import threading

import pytest
from waiting import PATIENCE

from cometflux.errors import JournalError
from cometflux.journal.background import BackgroundWriter
from cometflux.journal.live_record import LiveRecord
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter


class Disk:
    """Opens databases that count their commits, wait for leave before each, and fail as told."""

    def __init__(self):
        self.commits, self.failing, self.leave = 0, False, threading.Event()
        self.leave.set()

    def connect(self, *args, **options):
        disk = self

        class Told(sqlite3.Connection):
            def execute(self, statement, *args):
                if statement == "COMMIT":
                    disk.leave.wait(PATIENCE)
                    disk.commits += 1
                    if disk.failing:
                        raise sqlite3.OperationalError("disk I/O error")
                return super().execute(statement, *args)

        return sqlite3.connect(*args, factory=Told, **options)


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def faults():
    return []


@pytest.fixture
async def recorder(disk, faults, tmp_path):
    recorder = BackgroundWriter(JournalWriter(tmp_path, connect=disk.connect), faults.append)
    await recorder.open()
    disk.commits = 0
    yield recorder
    disk.leave.set()
    await recorder.aclose()


def new(number, **known):
    name = str(number)
    return JobRecord(identity=name, index=number, key=name, model="o/m", input={}, fingerprint=name, **known)


def keys(folder):
    with Journal(folder) as journal:
        return sorted(record.key for record in journal.records())


async def test_what_many_tasks_write_at_once_goes_out_in_few_commits(recorder, disk, tmp_path):
    await asyncio.gather(*(recorder.intent(new(number), is_new=True) for number in range(256)))
    assert disk.commits <= 2
    assert 256 == len(keys(tmp_path))


async def test_what_is_handed_in_during_a_write_goes_out_with_the_next(recorder, disk):
    disk.leave.clear()
    writes = []
    for number in range(50):
        writes.append(asyncio.ensure_future(recorder.intent(new(number), is_new=True)))
        await asyncio.sleep(0)
    disk.leave.set()
    await asyncio.gather(*writes)
    assert disk.commits <= 3


async def test_what_was_written_is_on_the_disk_when_it_returns(recorder, tmp_path):
    for number in range(3):
        await recorder.intent(new(number), is_new=True)
        assert number + 1 == len(keys(tmp_path))


async def test_what_can_wait_is_written_together_with_what_comes_within_a_quarter_of_a_second(recorder, disk, tmp_path):
    for number in range(20):
        recorder.end(new(number), is_new=True, can_wait=True)
        await asyncio.sleep(0.01)
    assert 0 == disk.commits
    await recorder.intent(new(20), is_new=True)
    assert (1, 21) == (disk.commits, len(keys(tmp_path)))


async def test_what_can_wait_does_so_for_a_quarter_of_a_second_at_most(recorder, disk, tmp_path):
    for number in range(3):
        recorder.end(new(number), is_new=True, can_wait=True)
        await asyncio.sleep(0.2)
    assert 2 == len(keys(tmp_path))
    await asyncio.sleep(0.2)
    assert (2, 3) == (disk.commits, len(keys(tmp_path)))


async def test_what_can_wait_does_so_while_something_else_is_written(recorder, disk, tmp_path):
    disk.leave.clear()
    written = recorder.intent(new(1), is_new=True)
    await asyncio.sleep(0)
    recorder.end(new(2), is_new=True, can_wait=True)
    disk.leave.set()
    await written
    await asyncio.sleep(0.2)
    assert (1, ["1"]) == (disk.commits, keys(tmp_path))
    await asyncio.sleep(0.2)
    assert (2, ["1", "2"]) == (disk.commits, keys(tmp_path))


async def test_what_cannot_wait_is_written_at_once(recorder, disk, tmp_path):
    recorder.end(new(1), is_new=True, can_wait=True)
    recorder.end(new(2), is_new=True, can_wait=False)
    await recorder.find("3")
    assert (1, ["1", "2"]) == (disk.commits, keys(tmp_path))


async def test_cancelling_a_writer_loses_nothing_that_was_handed_in(recorder, disk, tmp_path):
    disk.leave.clear()
    writes = [asyncio.ensure_future(recorder.intent(new(number), is_new=True)) for number in range(9)]
    await asyncio.sleep(0)
    for write in writes[::2]:
        write.cancel()
    disk.leave.set()
    ends = await asyncio.gather(*writes, return_exceptions=True)
    assert 5 == sum(isinstance(end, asyncio.CancelledError) for end in ends)
    await recorder.find("0")
    assert 9 == len(keys(tmp_path))


@pytest.mark.parametrize("can_wait", [False, True])
async def test_what_was_handed_in_before_it_is_found(can_wait, recorder):
    recorder.end(new(1), is_new=True, can_wait=can_wait)
    looks = [recorder.find("1"), recorder.intent(new(2), is_new=True), recorder.find("2"), recorder.find("3")]
    assert [new(1), None, new(2), None] == await asyncio.gather(*looks)


@pytest.mark.parametrize(
    "is_new", [[True, True, True], [True, False, False], [False, True, False], [False, False, True]]
)
@pytest.mark.parametrize("can_wait", [False, True])
async def test_of_several_records_of_one_job_the_last_one_counts(can_wait, is_new, recorder):
    await recorder.intent(new(1), is_new=True)
    for attempt, each in enumerate(is_new, 1):
        recorder.end(new(1, attempt=attempt), is_new=each, can_wait=can_wait)
    assert 3 == (await recorder.find("1")).attempt


@pytest.mark.parametrize(
    ("verb", "options"), [("intent", {}), ("answer", {}), ("end", {"can_wait": False}), ("end", {"can_wait": True})]
)
@pytest.mark.parametrize("failing", [False, True])
async def test_a_record_that_changes_later_is_kept_as_it_was_handed_in(recorder, disk, verb, options, failing):
    disk.failing = failing
    record = LiveRecord.of(new(1))
    written = getattr(recorder, verb)(record, is_new=True, **options)
    record.sending(1.0, "digest", 0)
    if written is not None:
        await asyncio.gather(written, return_exceptions=True)
    with contextlib.suppress(JournalError):
        await recorder.find("1")
    assert new(1) == await recorder.find("1")


@pytest.mark.parametrize("can_wait", [False, True])
async def test_closing_waits_for_what_was_handed_in(can_wait, disk, faults, tmp_path):
    recorder = BackgroundWriter(JournalWriter(tmp_path, connect=disk.connect), faults.append)
    await recorder.open()
    disk.leave.clear()
    recorder.end(new(1), is_new=True, can_wait=can_wait)
    await asyncio.sleep(0)
    recorder.end(new(2), is_new=True, can_wait=can_wait)
    closing = asyncio.ensure_future(recorder.aclose())
    await asyncio.sleep(0)
    recorder.end(new(3), is_new=True, can_wait=can_wait)
    disk.leave.set()
    await closing
    assert ["1", "2", "3"] == keys(tmp_path)
    assert [] == faults


@pytest.mark.parametrize("can_wait", [False, True])
async def test_closing_waits_for_what_is_handed_in_when_a_fault_is_told(can_wait, disk, tmp_path):
    faults = []

    def hand_in_more(error):
        faults.append(error)
        disk.failing = False
        recorder.end(new(2), is_new=True, can_wait=can_wait)

    recorder = BackgroundWriter(JournalWriter(tmp_path, connect=disk.connect), hand_in_more)
    await recorder.open()
    disk.failing = True
    recorder.end(new(1), is_new=True, can_wait=can_wait)
    await recorder.aclose()
    assert ["1", "2"] == keys(tmp_path)
    assert 1 == len(faults)


async def test_closing_ends_though_whoever_is_told_of_a_fault_raises(disk, tmp_path, loop_complaints):
    def refuse(error):
        raise RuntimeError("the observer broke")

    recorder = BackgroundWriter(JournalWriter(tmp_path, connect=disk.connect), refuse)
    await recorder.open()
    disk.failing = True
    recorder.end(new(1), is_new=True, can_wait=False)
    async with asyncio.timeout(60):
        await recorder.aclose()
    (complaint,) = loop_complaints
    assert "the observer broke" in complaint
    loop_complaints.clear()


@pytest.mark.parametrize("can_wait", [False, True])
async def test_a_closing_that_is_cancelled_delivers_it_once_others_may_come_in(can_wait, disk, faults, tmp_path):
    recorder = BackgroundWriter(JournalWriter(tmp_path, connect=disk.connect), faults.append)
    await recorder.open()
    disk.leave.clear()
    recorder.end(new(1), is_new=True, can_wait=can_wait)
    closing = asyncio.ensure_future(recorder.aclose())
    for _ in range(3):
        await asyncio.sleep(0)
        closing.cancel()
    disk.leave.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    writer = JournalWriter(tmp_path)
    writer.open()
    assert ["1"] == [*writer.find(["1"])]
    writer.close()


async def test_what_comes_after_the_end_is_told_so(disk, faults, tmp_path):
    recorder = BackgroundWriter(JournalWriter(tmp_path, connect=disk.connect), faults.append)
    await recorder.open()
    await recorder.aclose()
    recorder.end(new(1), is_new=True, can_wait=False)
    for late in (recorder.intent(new(1), is_new=True), recorder.find("1")):
        with pytest.raises(JournalError, match="is closed"):
            await late
    assert 3 == len(faults)


async def test_each_caller_is_told_when_the_disk_refuses(recorder, disk, faults, tmp_path):
    await recorder.intent(new(0), is_new=True)
    disk.failing = True
    writes = [recorder.intent(new(number), is_new=True) for number in range(1, 9)]
    ends = await asyncio.gather(*writes, return_exceptions=True)
    assert [JournalError] * 8 == [type(end) for end in ends]
    assert 1 == len(faults)
    recorder.end(new(9), is_new=True, can_wait=False)
    with pytest.raises(JournalError):
        await recorder.find("9")
    assert 2 == len(faults)
    assert ["0"] == keys(tmp_path)


async def test_when_the_disk_recovers_what_it_refused_is_written_as_well(recorder, disk, faults, tmp_path):
    disk.failing = True
    recorder.end(new(1, attempt=1), is_new=True, can_wait=False)
    with pytest.raises(JournalError):
        await recorder.intent(new(2), is_new=True)
    disk.failing = False
    recorder.end(new(1, attempt=2), is_new=True, can_wait=False)
    await recorder.intent(new(3), is_new=True)
    assert ["1", "2", "3"] == keys(tmp_path)
    assert 2 == (await recorder.find("1")).attempt


@pytest.mark.parametrize("can_wait", [False, True])
async def test_what_the_disk_refused_is_tried_once_more_at_the_end(can_wait, disk, faults, tmp_path):
    recorder = BackgroundWriter(JournalWriter(tmp_path, connect=disk.connect), faults.append)
    await recorder.open()
    await recorder.intent(new(1), is_new=True)
    disk.failing = True
    recorder.end(new(1, attempt=5), is_new=False, can_wait=can_wait)
    recorder.end(new(2), is_new=True, can_wait=can_wait)
    with pytest.raises(JournalError):
        await recorder.intent(new(3), is_new=True)
    disk.failing = False
    await recorder.aclose()
    assert ["1", "2", "3"] == keys(tmp_path)
    with Journal(tmp_path) as journal:
        assert 5 == next(journal.records()).attempt


@pytest.mark.parametrize("can_wait", [False, True])
async def test_it_can_be_closed_while_the_disk_refuses(can_wait, disk, faults, tmp_path):
    recorder = BackgroundWriter(JournalWriter(tmp_path, connect=disk.connect), faults.append)
    await recorder.open()
    disk.failing = True
    recorder.end(new(1), is_new=True, can_wait=can_wait)
    await recorder.aclose()
    assert 1 == len(faults)
    await reopened(tmp_path)


class Slow(JournalWriter):
    """Is opened when it is let."""

    def __init__(self, *args):
        super().__init__(*args)
        self.began, self.leave = threading.Event(), threading.Event()

    def open(self):
        super().open()
        self.began.set()
        self.leave.wait(PATIENCE)


async def reopened(folder):
    """Open the journal and close it; the one before, whose loop has ended, may be closing in its thread."""
    for _ in range(100):
        with contextlib.suppress(JournalError):
            writer = JournalWriter(folder)
            await asyncio.to_thread(writer.open)
            writer.close()
            return
        await asyncio.to_thread(threading.Event().wait, 0.02)
    raise AssertionError("the journal is still in use")


async def test_an_opening_that_is_cancelled_lets_others_in(faults, tmp_path):
    writer = Slow(tmp_path)
    opening = asyncio.ensure_future(BackgroundWriter(writer, faults.append).open())
    await asyncio.to_thread(writer.began.wait, 10)
    for _ in range(3):
        opening.cancel()
        await asyncio.sleep(0)
    writer.leave.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    following = JournalWriter(tmp_path)
    following.open()
    following.close()


def test_an_opening_that_is_cancelled_lets_others_in_though_its_loop_has_ended(faults, tmp_path):
    writer = Slow(tmp_path)

    async def cancelled():
        opening = asyncio.ensure_future(BackgroundWriter(writer, faults.append).open())
        await asyncio.to_thread(writer.began.wait, 10)
        opening.cancel()
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(cancelled())
    loop.close()
    writer.leave.set()
    asyncio.run(reopened(tmp_path))
