"""Write a folder with a job in every state, as real runs would have left it."""

import hashlib
import io
import json
from datetime import UTC, datetime, timedelta

from PIL import Image

from cometflux.errors import ConnectError, OutputError, PatienceError, RejectedError, UnknownSubmissionError
from cometflux.journal.attempts import SavedFile
from cometflux.journal.record import JobRecord, identify
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Prediction, Status
from cometflux.protocol import encoding

LEFT = 1_790_000_000.0
"""The time of the submissions, in seconds since 1970."""
STATES = (
    *("saved", "missing", "unsaved", "pending", "waiting", "unknown", "failed", "rejected", "not_sent"),
    *("detached", "canceled", "expired"),
)


def picture(size=(48, 32), colour=(200, 120, 80), form="PNG"):
    """Return a real picture."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, form)
    return file.getvalue()


def plan(index, prompt="a fox", *, key=None, model="black-forest-labs/flux-schnell", **given):
    """Return the record of a job that was not sent."""
    given = {"prompt": prompt, **given}
    fingerprint = encoding.fingerprint(model, given)
    return JobRecord(
        identity=identify(key, fingerprint, index),
        index=index,
        key=key or f"#{index:05d}",
        model=model,
        input=given,
        fingerprint=fingerprint,
    )


def prediction(record, status=Status.SUCCEEDED, **changes):
    """Return the prediction of a job that has ended."""
    facts = {
        "id": f"p{record.index:05d}",
        "status": status,
        "model": record.model,
        "created_at": CREATED,
        "started_at": CREATED + timedelta(seconds=1),
        "completed_at": CREATED + timedelta(seconds=2.5),
    }
    return Prediction(**{**facts, **changes})


CREATED = datetime.fromtimestamp(LEFT, UTC)


def accept(record):
    """Return the record of a job that the service accepted."""
    return record.sending(LEFT, "0" * 64, 100).accepted(prediction(record, Status.STARTING), LEFT + 0.2)


def succeed(record, folder, *pictures):
    """Save pictures of a job, and return its record."""
    names = [f"{record.index:05d}-{number}.png" for number in range(1, len(pictures) + 1)]
    files = []
    for name, data in zip(names, pictures, strict=True):
        (folder / name).write_bytes(data)
        sidecar = {"file": name, "prediction": {"id": f"p{record.index:05d}"}, "input": dict(record.input)}
        (folder / name).with_suffix(".json").write_text(json.dumps(sidecar))
        files.append(SavedFile(name=name, size=len(data), digest=hashlib.sha256(data).hexdigest()))
    return accept(record).ended(OutcomeKind.SUCCEEDED, prediction(record), None).saved(tuple(files), None)


def reach(state, record, folder):
    """Return the record of a job in a state."""
    match state:
        case "saved":
            return succeed(record, folder, picture())
        case "missing":
            saved = succeed(record, folder, picture())
            (folder / saved.files[0].name).unlink()
            return saved
        case "unsaved":
            return accept(record).ended(
                OutcomeKind.SUCCEEDED, prediction(record), OutputError("the download broke off")
            )
        case "pending":
            return accept(record)
        case "waiting":
            return record
        case "unknown":
            error = UnknownSubmissionError("the connection broke", "it broke behind the last byte")
            return record.sending(LEFT, "0" * 64, 100).ended(OutcomeKind.UNKNOWN, None, error)
        case "failed":
            failed = prediction(record, Status.FAILED, error="the prompt was flagged as sensitive")
            return accept(record).ended(OutcomeKind.FAILED, failed, None)
        case "rejected":
            refused = RejectedError("the service rejected the request with HTTP 422", status=422, detail="seed")
            return record.ended(OutcomeKind.REJECTED, None, refused)
        case "not_sent":
            return record.ended(OutcomeKind.NOT_SENT, None, ConnectError("no connection came about"))
        case "detached":
            return accept(record).ended(OutcomeKind.DETACHED, None, PatienceError("patience ended after 1800 s"))
        case "canceled":
            return accept(record).ended(OutcomeKind.CANCELED, prediction(record, Status.CANCELED), None)
        case "expired":
            return accept(record).ended(OutcomeKind.EXPIRED, prediction(record, data_removed=True), None)
    raise AssertionError(state)


def write(folder, *records, place=None, account=None):
    """Write the journal of a folder."""
    writer = JournalWriter(folder, account)
    writer.open()
    if place is not None:
        writer.note_place(place)
    writer.commit(records)
    writer.close()


def write_states(folder, prompts=None, account=None):
    """Write the journal of a folder with one job in every state."""
    told = prompts or {}
    records = [
        plan(index, told.get(state, f"a fox, {state}"), key=state, seed=index) for index, state in enumerate(STATES)
    ]
    reached = (reach(state, record, folder) for state, record in zip(STATES, records, strict=True))
    write(folder, *reached, account=account)
