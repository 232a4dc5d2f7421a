"""Makes the folder of a finished batch: its journal and manifest, and a picture and a record for each job.

The prompt file is planned as ``cometflux batch`` plans it, so the same command again knows every job.
"""

import hashlib
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks import lists
from cometflux.basics.pages import pages
from cometflux.cli.batch.draft_plan import draft_batch
from cometflux.cli.batch.plan_journal import plan_batch
from cometflux.cli.options.image_options import ImageOptions
from cometflux.cli.options.shared import RunOptions
from cometflux.cli.prompts.prompt_plan import planner_from_options
from cometflux.cli.prompts.read_file import read_file
from cometflux.journal.attempts import SavedFile
from cometflux.journal.header import Account
from cometflux.journal.manifest import write_manifest
from cometflux.journal.plan import job_of_record
from cometflux.journal.reader import Journal
from cometflux.journal.record import JobRecord
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.provenance import sidecar
from cometflux.storage import file_names

KEY = "sk-benchmark"
BASE_URL = "http://127.0.0.1:9/replicate/v1"
"""Nobody listens there, and a finished folder needs nobody."""
_BYTES = 4096
"""How many bytes each picture has."""


def finish(prompts: Path, folder: Path) -> None:
    """Make *folder*, as the batch of the file *prompts* would have left it."""
    settings = RunOptions()
    planner = planner_from_options(read_file(str(prompts), None), prompts.parent, ImageOptions(), {}, {})
    writer = JournalWriter(folder, Account(base_url=BASE_URL, key=KEY))
    plan_batch(writer, draft_batch(planner, settings), settings)
    with Journal(folder) as journal:
        for page in pages(journal.records()):
            writer.commit((), [_save(folder, writer.name, record) for record in page])
    writer.close()
    write_manifest(folder)


def _save(folder: Path, journal: str, planned: JobRecord) -> JobRecord:
    job = job_of_record(planned).job
    over = _prediction(planned)
    now = time.time()
    record = planned.sending(now, "0" * 64, 100).accepted(over, now).ended(OutcomeKind.SUCCEEDED, over, None)
    stem = file_names.file_stem(planned.index, job)
    picture = b"RIFF\x00\x10\x00\x00WEBPVP8 " + planned.index.to_bytes(8) * (_BYTES // 8 - 2)
    file = SavedFile(name=f"{stem}.webp", size=len(picture), digest=hashlib.sha256(picture).hexdigest())
    submission = sidecar.Submission(journal=journal, job=planned.identity, attempt=1, body="0" * 64)
    heading = {"file": file.name, "bytes": file.size, "sha256": file.digest}
    about = sidecar.record_of(over, job, planned.key, planned.index, submission)
    (folder / file.name).write_bytes(picture)
    (folder / f"{stem}.json").write_text(json.dumps({**heading, **about}, default=str, indent=2))
    return record.saved((file,), None)


def _prediction(planned: JobRecord) -> Prediction:
    """Return what the service says of a prediction that is over, as long as it usually is."""
    name = f"{planned.index:026d}"
    created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=planned.index)
    of_it = f"https://api.replicate.com/v1/predictions/{name}"
    urls = {"get": of_it, "cancel": f"{of_it}/cancel", "web": f"https://replicate.com/p/{name}"}
    return Prediction(
        id=name,
        status=Status.SUCCEEDED,
        model=planned.model,
        version="hidden",
        output=(f"https://replicate.delivery/{name}/out-0.webp",),
        logs=f"Using seed: {planned.index}\n",
        metrics={"image_count": 1, "predict_time": 0.4, "total_time": 0.6},
        data_removed=False,
        created_at=created,
        started_at=created + timedelta(seconds=0.2),
        completed_at=created + timedelta(seconds=0.6),
        extra={"source": "api", "urls": urls},
    )


if __name__ == "__main__":
    base = Path(sys.argv[2])
    lists.write(base / "long.csv", int(sys.argv[1]))
    finish(base / "long.csv", base / "images")
