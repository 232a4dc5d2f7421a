"""A disk that refuses: one that is full at some moment of a batch, and one whose writes and syncs fail.

Behind each refusal every bill is in the journal or doubted there, and what went wrong names the disk. On a disk that is
well again the batch goes on to its end, and nothing is bought twice.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
import watched
from PIL import Image
from shop import Shop, check_bills, is_in_doubt, no_strike
from tracing import traced

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
    """A file system of its own, in memory, of which as much is taken as a test likes."""

    def __init__(self, root):
        self.root = root
        self._filler = root / "filler"

    def leave(self, pages):
        """Leave room for so many pages, or what there is where that is less."""
        while (taken := self._free - pages) > 0:
            # Somebody may take some meanwhile.
            with contextlib.suppress(OSError), self._filler.open("ab") as file:
                os.posix_fallocate(file.fileno(), file.tell(), taken * PAGE)

    def leave_names(self, count):
        """Leave room for any bytes, but only so many more files."""
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
    """How long a prediction takes: asked for while its bill is written, which is when something can happen."""

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
    """Draws pictures that take several pages, so that a disk can take a part of one."""
    async with LocalService(pixels=16_384, latency=moments) as service:
        yield service


class Batch:
    """A few jobs with a journal, the service that makes them, and the folders they go to."""

    def __init__(self, name, service, journal, pictures):
        self.prompts = [f"{name}: {number} paper boats" for number in range(8)]
        self.service = service
        self.journal = journal
        self.pictures = pictures

    async def run(self, on_event=None):
        """Make it; return the outcomes, and what ended it before its time or None."""
        outcomes = []
        session = open_session(
            api_key=self.service.key,
            base_url=self.service.url,
            journal=self.journal / "journal.sqlite3",
            max_pending=2,
            poll_policy=PollPolicy(interval=0.5),
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

    async def run_to_the_end(self):
        """Make the rest, on a disk that is well; return how many stay in doubt."""
        in_doubt = {prompt for prompt, record in self._records().items() if is_in_doubt(record)}
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
    """Tell what the disk refused; nothing else may have gone wrong, and where all is well, nothing."""
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


# What is on the disk, up to how many pages are left, and what it then refuses.
PLACES = {
    "everything": (75, {"opening", "folder", "journal", "picture", "record"}),
    "journal": (70, {"opening", "journal"}),
    "pictures": (40, {"folder", "picture", "record"}),
}


@pytest.fixture
def folders(place, disk, other_disk):
    """Where the journal goes, and where the pictures go."""
    return [disk.root if place in ("everything", what) else other_disk.root for what in ("journal", "pictures")]


@pytest.mark.parametrize(
    ("place", "step"),
    [
        *(pytest.param(place, 23, id=f"{place}-some") for place in PLACES),
        *(pytest.param(place, 1, id=f"{place}-all", marks=pytest.mark.hard) for place in PLACES),
    ],
)
async def test_a_disk_with_few_pages_left_loses_nothing_and_buys_nothing_twice(place, step, folders, disk, service):
    most, kinds = PLACES[place]
    met = Counter()
    for pages in range(0, most, step):
        batch = Batch(f"{pages}", service, *(folder / f"{pages}" for folder in folders))
        disk.leave(pages)
        met.update(await end_well(batch, disk))
    print(met)
    assert step > 1 or kinds == set(met) - {"doubt"}, "the disk was full at every kind of moment"


async def end_well(batch, disk, on_event=None):
    """Make a batch on a disk that refuses, and then on one that does not; return what was refused."""
    found = refusals(*await batch.run(on_event))
    # Full as it is, and then with room for whoever reads.
    batch.check_bills()
    disk.empty()
    batch.check_bills()
    if await batch.run_to_the_end():
        found.add("doubt")
    for folder in {batch.journal, batch.pictures}:
        shutil.rmtree(folder)
    return found


@pytest.mark.parametrize(
    "names", [3, 6, *(pytest.param(n, marks=pytest.mark.hard) for n in range(30) if n not in (3, 6))]
)
@pytest.mark.parametrize("place", ["everything"])
async def test_a_disk_with_few_names_left_loses_nothing_and_buys_nothing_twice(names, folders, disk, service):
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
        for pages in range(3)
    ],
)
async def test_a_disk_that_fills_behind_a_bill_loses_nothing(place, bill, pages, folders, disk, service, moments):
    """Right behind it the id is to be written down."""
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
async def test_a_disk_that_has_room_again_in_time_leaves_nothing_in_doubt(place, bill, folders, disk, service, moments):
    batch = Batch("again", service, *(folder / "batch" for folder in folders))
    moments.at_bill(bill, lambda: disk.leave(0))

    def tidy(event):
        prompts = [bill.input["prompt"] for bill in batch.bills()]
        if isinstance(event, Ended) and batch.prompts[event.index] in prompts[bill - 1 : bill]:
            disk.empty()

    found = await end_well(batch, disk, tidy)
    assert found
    assert "doubt" not in found
