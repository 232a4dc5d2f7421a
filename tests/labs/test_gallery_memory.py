"""The gallery of a hundred thousand jobs is made in bounded memory, in pages, and what it takes is printed."""

import hashlib
import json
import subprocess
import sys

import job_states
import pytest

from cometflux.journal.attempts import SavedFile
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind

pytestmark = [pytest.mark.hard, pytest.mark.realtime]
NUMBER = 100_000
MOST_MEMORY = 250
"""In megabytes."""
MOST_SECONDS = 60
"""Of CPU; three times what it takes on an idle machine."""
MEASURE = """
import json, sys, time
from pathlib import Path
from cometflux.gallery import write_gallery
write_gallery(sys.argv[1])
# Not ru_maxrss: a new process begins with that of its parent, which has run other tests.
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
print(json.dumps([peak // 1024, time.process_time()]))
"""


def test_a_hundred_thousand_jobs_are_shown_in_bounded_memory(tmp_path):
    data = job_states.picture()
    digest = hashlib.sha256(data).hexdigest()
    writer = JournalWriter(tmp_path)
    writer.open()
    for start in range(0, NUMBER, 1000):
        saved = []
        for index in range(start, start + 1000):
            record = job_states.plan(index, f"a fox, number {index}", seed=index, guidance=index % 5, steps=28)
            (tmp_path / f"{index:06d}.png").write_bytes(data)
            (tmp_path / f"{index:06d}.json").write_text("{}")
            file = SavedFile(name=f"{index:06d}.png", size=len(data), digest=digest)
            ended = job_states.accept(record).ended(OutcomeKind.SUCCEEDED, job_states.prediction(record), None)
            saved.append(ended.saved((file,), None))
        writer.commit(saved)
    writer.close()
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    memory, seconds = json.loads(done.stdout)
    sizes = [path.stat().st_size >> 20 for path in tmp_path.glob("index*.html")]
    print(f"{NUMBER} jobs: {memory} MB, {seconds:.1f} s of CPU, {len(sizes)} pages of up to {max(sizes)} MB")
    assert memory <= MOST_MEMORY
    assert seconds <= MOST_SECONDS
    assert 10 == len(sizes)
