"""How much time and memory does a batch take that is run again after all its images are saved?"""

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from cometflux import flux, open_session
from cometflux.basics.pages import pages
from cometflux.jobs import Job
from cometflux.journal.attempts import SavedFile
from cometflux.journal.header import Account
from cometflux.journal.record import JobRecord, identify
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.protocol.encoding import fingerprint
from cometflux.storage import file_names

COUNTS = (10_000, 100_000)
_KEY = "sk-benchmark"
_BASE_URL = "http://127.0.0.1:9/replicate/v1"
_IMAGE = b"RIFF\x0c\x00\x00\x00WEBPVP8 \x00\x00\x00\x00"
_DIGEST = hashlib.sha256(_IMAGE).hexdigest()


def jobs(count: int) -> Iterator[Job]:
    return (Job.of(flux.Schnell(prompt=f"{number} paper boats")) for number in range(count))


def fill(folder: Path, count: int) -> None:
    """Create the folder of a finished batch."""
    writer = JournalWriter(folder, Account(base_url=_BASE_URL, key=_KEY))
    writer.open()
    numbered = enumerate(jobs(count))
    for page in pages(numbered, 2000):
        writer.commit([_save(folder, index, job) for index, job in page])
    writer.close()


def _save(folder: Path, index: int, job: Job) -> JobRecord:
    name = f"{file_names.file_stem(index, job)}.webp"
    # Hard links, because creating a file takes thirty times as long. A file may have 65,000 links.
    source = folder / f"image-{index // 10_000}"
    if index % 10_000 == 0:
        source.write_bytes(_IMAGE)
    (folder / name).hardlink_to(source)
    mark = fingerprint(job.model, job.input)
    planned = JobRecord(
        identity=identify(None, mark, 1),
        index=index,
        key=f"#{index:05d}",
        model=job.model,
        input=job.input,
        fingerprint=mark,
    )
    over = Prediction(
        id=f"{index:026d}", status=Status.SUCCEEDED, output=(f"https://replicate.delivery/{index:026d}/out-0.webp",)
    )
    accepted = planned.sending(time.time(), "0" * 64, 40).accepted(over, time.time())
    saved = (SavedFile(name=name, size=len(_IMAGE), digest=_DIGEST),)
    return accepted.ended(OutcomeKind.SUCCEEDED, over, None).saved(saved, None)


async def resume(folder: Path, count: int) -> dict[str, float]:
    """Run the batch again. Return the seconds to the first and last outcome, and the growth of memory in bytes."""
    before, start, first, outcomes = _memory("VmRSS"), time.perf_counter(), 0.0, 0
    async with open_session(api_key=_KEY, base_url=_BASE_URL, journal=folder) as session:
        async for outcome in session.generate(jobs(count), save_to=folder):
            assert outcome.ok
            assert outcome.resumed
            outcomes += 1
            first = first or time.perf_counter() - start
    assert outcomes == count
    return {"first": first, "all": time.perf_counter() - start, "growth": _memory("VmHWM") - before}


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps(asyncio.run(resume(Path(sys.argv[1]), int(sys.argv[2])))))
        return
    print("A batch run again after all its images are saved: python -m benchmarks.resuming")
    for count in COUNTS:
        with TemporaryDirectory() as folder:
            fill(Path(folder), count)
            # In its own process, so that the memory used for filling does not count.
            command = [sys.executable, "-m", "benchmarks.resuming", folder, str(count)]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(
            f"  {count} jobs: {found['first']:.1f} s to the first outcome, {found['all']:.1f} s to the last, "
            f"{found['growth'] / 2**20:.0f} MiB more memory at the most"
        )


if __name__ == "__main__":
    main()
