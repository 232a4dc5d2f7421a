"""A failing disk: one that becomes full during a batch, and one whose writes and syncs fail.

After each failure, every bill is accepted or unknown in the journal, and the error names the disk. When the disk works
again, the batch resumes to its end, and nothing is charged twice.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter

import pytest
import traced_batch
from bill_checks import KilledBatch, check_bills, is_unknown, no_kill
from PIL import Image
from strace import traced
from waiting import PATIENCE

from cometflux import CometfluxError, Journal, PollPolicy, open_session
from cometflux.errors import ConfigError, JournalError, OutputError
from cometflux.events import Ended
from cometflux.testing import LocalService

PAGE = 4096
REFUSAL = re.compile(
    r"No space left on device|database or disk is full|disk I/O error|Input/output error|unable to open database file"
)


# ── a disk that is full ──────────────────────────────────────────────────────────────────────────────────────────────


class Disk:
    """A separate file system in memory, which a test can fill."""

    def __init__(self, root):
        self.root = root
        self._filler = root / "filler"

    def leave(self, pages):
        """Leave room for *pages* pages, or the free space if that is less."""
        while (taken := self._free - pages) > 0:
            # Another program may use some meanwhile.
            with contextlib.suppress(OSError), self._filler.open("ab") as file:
                os.posix_fallocate(file.fileno(), file.tell(), taken * PAGE)

    def leave_names(self, count):
        """Leave room for bytes, but only for *count* more files."""
        self._filler.mkdir()
        for number in range(os.statvfs(self.root).f_favail - count):
            (self._filler / str(number)).touch()

    @property
    def _free(self):
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize // PAGE

    def empty(self):
        if self._filler.is_dir():
            shutil.rmtree(self._filler)
        self._filler.unlink(missing_ok=True)


@contextlib.contextmanager
def mounted(root):
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    if shutil.which("mount") is None:
        pytest.skip("there is no mount on this machine")
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=99", "tmpfs", root]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk may be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", root], check=True)


@pytest.fixture
def disk(tmp_path):
    with mounted(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
def other_disk(tmp_path):
    with mounted(tmp_path / "other-disk") as disk:
        yield disk


class Moments:
    """The latency function of the service. It is called while a bill is written, so it can act at that moment."""

    def __init__(self):
        self._bills = 0
        self._act = None

    def at_bill(self, number, act):
        self._bills, self._act = number, act

    def __call__(self, _model):
        self._bills -= 1
        if self._bills == 0:
            self._act()
        return 1.0


@pytest.fixture
def moments():
    return Moments()


@pytest.fixture
async def service(moments):
    """Yield a service whose pictures take several pages, so that a disk can store only a part of one."""
    async with LocalService(pixels=16_384, latency=moments) as service:
        yield service


class Batch:
    """A few jobs with a journal, their service and their folders."""

    def __init__(self, name, service, journal, pictures):
        self.prompts = [f"{name}: {number} paper boats" for number in range(8)]
        self.service = service
        self.journal = journal
        self.pictures = pictures

    async def run(self, on_event=None):
        """Run the batch; return the outcomes, and the error that ended it early or None."""
        outcomes = []
        session = open_session(
            api_key=self.service.key,
            base_url=self.service.url,
            journal=self.journal / "journal.sqlite3",
            max_pending=2,
            poll_policy=PollPolicy.every(0.5),
            on_event=on_event,
        )
        try:
            async with session:
                async for outcome in session.generate(self.prompts, save_to=self.pictures):
                    outcomes.append(outcome)
        except CometfluxError as error:
            return outcomes, error
        return outcomes, None

    def check_bills(self):
        check_bills(self.bills(), self._records())

    def bills(self):
        return [bill for bill in self.service.bills if bill.input["prompt"] in self.prompts]

    def _records(self):
        try:
            with Journal(self.journal) as journal:
                return {record.input["prompt"]: record for record in journal.records()}
        except CometfluxError:
            assert [] == self.bills(), "where something was bought the journal can be read"
            return {}

    def _pictured(self):
        """Return the jobs with a picture, whose sidecar has the id even if the journal does not."""
        return {json.loads(path.read_bytes())["input"]["prompt"] for path in self.pictures.glob("*.json")}

    async def run_to_the_end(self):
        """Run the rest on a working disk; return how many jobs stay unknown."""
        in_doubt = {prompt for prompt, record in self._records().items() if is_unknown(record)} - self._pictured()
        outcomes, error = await self.run()
        assert error is None
        assert self.prompts == [o.job.prompt for o in sorted(outcomes, key=lambda outcome: outcome.index)]
        assert in_doubt == {outcome.job.prompt for outcome in outcomes if not outcome.ok}
        self.check_bills()
        for path in (path for outcome in outcomes for path in outcome.files):
            with Image.open(path) as image:
                image.load()
            assert path.with_suffix(".json").exists()
        return len(in_doubt)


def refusals(outcomes, error):
    """Return the operations that the disk refused, and check that nothing else failed."""
    wrong = [each for each in (error, *(outcome.error for outcome in outcomes)) if each is not None]
    assert [] == [str(each) for each in wrong if not REFUSAL.search(str(each))]
    assert wrong or all(outcome.ok for outcome in outcomes)
    return {_refused(getattr(each, "cause", each), outcomes) for each in wrong}


def _refused(error, outcomes):
    match error:
        case ConfigError():
            return "folder"
        case JournalError():
            return "journal" if outcomes else "opening"
        case OutputError():
            return "picture" if error.path is None else "record"


# The content of the disk, the maximum number of free pages, and the operations that then fail.
PLACES = {
    "everything": (75, {"opening", "folder", "journal", "picture", "record"}),
    "journal": (70, {"opening", "journal"}),
    "pictures": (40, {"folder", "picture", "record"}),
}


@pytest.fixture
def folders(place, disk, other_disk):
    """Return the folder of the journal and the folder of the pictures."""
    return [disk.root if place in ("everything", what) else other_disk.root for what in ("journal", "pictures")]


@pytest.mark.parametrize(
    ("place", "step"),
    [
        pytest.param("everything", 23, id="everything-some"),
        *(pytest.param(place, 1, id=f"{place}-all", marks=pytest.mark.hard) for place in PLACES),
    ],
)
async def test_a_disk_with_few_pages_left_loses_nothing_and_pays_nothing_twice(place, step, folders, disk, service):
    most, kinds = PLACES[place]
    met = Counter()
    for pages in range(0, most, step):
        batch = Batch(f"{pages}", service, *(folder / f"{pages}" for folder in folders))
        disk.leave(pages)
        met.update(await end_well(batch, disk))
    print(met)
    assert step > 1 or kinds == set(met) - {"doubt"}, "the disk was full at every kind of moment"


async def end_well(batch, disk, on_event=None):
    """Run a batch on a failing disk, and then on a working one; return the refused operations."""
    found = refusals(*await batch.run(on_event))
    # First while it is full, then with room for readers.
    batch.check_bills()
    disk.empty()
    batch.check_bills()
    if await batch.run_to_the_end():
        found.add("doubt")
    for folder in {batch.journal, batch.pictures}:
        shutil.rmtree(folder)
    return found


@pytest.mark.parametrize("names", [3, 6, *(pytest.param(n, marks=pytest.mark.hard) for n in range(0, 30, 2) if n != 6)])
@pytest.mark.parametrize("place", ["everything"])
async def test_a_disk_with_few_names_left_loses_nothing_and_pays_nothing_twice(names, folders, disk, service):
    batch = Batch("names", service, *(folder / "batch" for folder in folders))
    disk.leave_names(names)
    found = await end_well(batch, disk)
    assert found or names > 20


@pytest.mark.parametrize(
    ("place", "bill", "pages"),
    [
        pytest.param(place, bill, pages, marks=() if (bill, pages) == (3, 0) else pytest.mark.hard)
        for place in PLACES
        for bill in range(1, 9)
        for pages in (0, 2)
    ],
)
async def test_a_disk_that_fills_after_a_bill_loses_nothing(place, bill, pages, folders, disk, service, moments):
    """The id has to be written directly after the bill."""
    batch = Batch("bills", service, *(folder / "batch" for folder in folders))
    moments.at_bill(bill, lambda: disk.leave(pages))
    assert await end_well(batch, disk)


@pytest.mark.parametrize(
    ("place", "bill"),
    [
        pytest.param(place, bill, marks=() if bill == 3 else pytest.mark.hard)
        for place in PLACES
        for bill in range(1, 9)
    ],
)
async def test_a_disk_that_has_room_again_in_time_leaves_nothing_unknown(place, bill, folders, disk, service, moments):
    batch = Batch("again", service, *(folder / "batch" for folder in folders))
    moments.at_bill(bill, lambda: disk.leave(0))

    def tidy(event):
        prompts = [bill.input["prompt"] for bill in batch.bills()]
        if isinstance(event, Ended) and batch.prompts[event.index] in prompts[bill - 1 : bill]:
            disk.empty()

    found = await end_well(batch, disk, tidy)
    assert found
    assert "doubt" not in found


@pytest.mark.parametrize("place", ["everything"])
async def test_an_id_that_the_disk_does_not_take_is_reported_and_not_as_unsent(folders, disk, service, moments, caplog):
    batch = Batch("told", service, *(folder / "batch" for folder in folders))
    moments.at_bill(3, lambda: disk.leave(0))
    await batch.run()
    (told,) = [each.message for each in caplog.records if batch.bills()[2].id in each.message]
    assert REFUSAL.search(told)
    assert "nothing was sent" not in told


# ── a disk that breaks ───────────────────────────────────────────────────────────────────────────────────────────────

# The calls that fail, the error, and the numbers of these calls; each once, and from then on.
BREAKS = {
    # SQLite's; a commit is several of them.
    "write-of-journal": ("pwrite64", "error=EIO", range(1, 92, 10)),
    "full-journal": ("pwrite64", "error=ENOSPC", range(5, 92, 28)),
    "sync-of-journal": ("fdatasync", "error=EIO", range(1, 18, 4)),
    "write-of-file": ("write", "error=EIO", range(1, 18, 4)),
    "sync-of-file": ("fsync", "error=EIO", range(1, 31, 7)),
    "link": ("?link,?linkat", "error=EIO", (1, 6)),
    "cutting-off": ("ftruncate", "error=EIO", (1, 2)),
}
ORDINARY = {"write-of-journal-31", "sync-of-file-8+"}


def breaks():
    for name, (calls, error, numbers) in BREAKS.items():
        for number in (f"{number}{more}" for number in numbers for more in ("", "+")):
            marks = () if f"{name}-{number}" in ORDINARY else pytest.mark.hard
            yield pytest.param(calls, f"{error}:when={number}", id=f"{name}-{number}", marks=marks)
    # Like a disk that stores only a part: the call reports that nothing was written.
    for number in range(3, 92, 16):
        action = f"retval=0:when={number}"
        yield pytest.param("pwrite64", action, id=f"short-write-of-journal-{number}", marks=pytest.mark.hard)


@pytest.mark.parametrize(("calls", "action"), [*breaks()])
def test_a_disk_that_breaks_loses_nothing_and_pays_nothing_twice(calls, action, tmp_path):
    log = tmp_path / "log"
    with KilledBatch(tmp_path / "batch", jobs=16, faults=(), latency=0.02) as batch:
        code, out, err = batch.run(no_kill(), traced_batch.__file__, traced((calls, action), log=log))
        assert "(INJECTED)" in log.read_text(), "nothing has failed"
        # That a folder cannot be synced is only logged: some file systems refuse that.
        told = [line for line in err.splitlines() if "cannot be synced" not in line]
        wrong = [*(outcome["error"] for outcome in json.loads(out) if outcome["error"]), *told]
        assert [] == [each for each in wrong if not REFUSAL.search(each)]
        assert code == (traced_batch.REFUSED if wrong else 0)
        check_bills(batch.service.bills, batch.records())
        batch.check_files()

        outcomes = batch.run_to_the_end()
        check_bills(batch.service.bills, batch.records())
        batch.check_files()
        batch.check_end(outcomes)


DAMAGE = re.compile(r"is damaged|malformed|lacks the last|lost what was in it|is not a journal|lost a job")


@pytest.mark.hard
@pytest.mark.parametrize(
    ("number", "dies"),
    [*((number, True) for number in range(25, 101, 5)), *((number, False) for number in (25, 60, 90))],
)
def test_a_disk_that_lies_about_the_journal_pays_nothing_twice(number, dies, tmp_path):
    """It reports a write that did not happen. The journal may then be refused, but must not be trusted."""
    with KilledBatch(tmp_path / "batch", jobs=24, faults=(), latency=0.02) as batch:
        lie, death = ("pwrite64", f"retval=4096:when={number}"), ("fdatasync", "signal=KILL:when=21")
        was, _, _ = batch.run(no_kill(), traced_batch.__file__, traced(lie, death) if dies else traced(lie))
        assert dies == (was == -signal.SIGKILL)
        code, out, err = batch.run(no_kill(), traced_batch.__file__)
        assert set(Counter(bill.input["prompt"] for bill in batch.service.bills).values()) == {1}
        print(f"{len(batch.service.bills)} bills, {err or 'all is well'}")
        if code:
            assert DAMAGE.search(err)
        else:
            check_bills(batch.service.bills, batch.records())
            batch.check_end(sorted(json.loads(out), key=lambda outcome: outcome["index"]))


@pytest.mark.hard
@pytest.mark.parametrize("number", range(1, 18, 3))
def test_a_disk_that_lies_about_a_file_has_it_fetched_again(number, tmp_path):
    with KilledBatch(tmp_path / "batch", jobs=8, faults=(), latency=0.02) as batch:
        batch.run(no_kill(), traced_batch.__file__, traced(("write", f"retval=4:when={number}")))
        bills = len(batch.service.bills)
        code, out, err = batch.run(no_kill(), traced_batch.__file__)
        assert (0, "", 8, 8) == (code, err, bills, len(batch.service.bills))
        for outcome in json.loads(out):
            (name,) = outcome["files"]
            with Image.open(batch.folder / name) as image:
                image.load()


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def running(moments):
    with LocalService.in_thread(pixels=16_384, latency=moments) as service:
        yield service


def command(line, service, before=()):
    done = subprocess.run(
        [*before, sys.executable, "-m", "cometflux.cli", *line],
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "COMETFLUX_BASE_URL": service.url,
            "COMETAPI_KEY": service.key,
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def batch(disk):
    """The arguments of a batch whose folder is on its own disk."""
    prompts = disk.root / "a.csv"
    prompts.write_text("\n".join(["prompt", *(f"{number} paper boats" for number in range(8)), ""]))
    return ["batch", prompts, "--out", disk.root / "images", "--max-pending", "2"]


def check_end_of_command(code, err, batch, disk, service):
    folder = disk.root / "images"
    assert 3 == code, err
    assert REFUSAL.search(err)
    disk.empty()
    assert command(batch, service)[0] in (0, 5)
    with Journal(folder) as journal:
        status = journal.status()
        check_bills(service.bills, {record.input["prompt"]: record for record in journal.records()})
    assert 8 == status["saved"] + status["unknown"] == len(service.bills)


@pytest.mark.parametrize(
    ("bill", "pages"),
    [(3, 0), *(pytest.param(bill, pages, marks=pytest.mark.hard) for bill, pages in ((1, 6), (5, 1), (7, 0)))],
)
def test_a_disk_that_fills_ends_the_command_with_exit_code_3(bill, pages, batch, disk, running, moments):
    moments.at_bill(bill, lambda: disk.leave(pages))
    check_end_of_command(*command(batch, running), batch, disk, running)


@pytest.mark.parametrize("pages", [pytest.param(pages, marks=pytest.mark.hard) for pages in (0, 1, 16)])
def test_a_disk_that_is_full_ends_the_command_with_exit_code_3(pages, batch, disk, running):
    disk.leave(pages)
    check_end_of_command(*command(batch, running), batch, disk, running)


@pytest.mark.hard
@pytest.mark.parametrize(("calls", "number"), [("pwrite64", 10), ("pwrite64", 40), ("fdatasync", 9), ("fsync", 4)])
def test_a_disk_that_breaks_ends_the_command_with_exit_code_3(calls, number, batch, disk, running):
    before = traced((calls, f"error=EIO:when={number}+"))
    check_end_of_command(*command(batch, running, before), batch, disk, running)
