"""The commands on folders whose records hold what no run of today would write: every command still tells its part."""

import json
import math
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone

import attrs
import job_states
import pytest

from cometflux.cli import main
from cometflux.journal.manifest import write_manifest
from cometflux.journal.place import FILE_NAME
from cometflux.journal.writer import JournalWriter
from cometflux.outcomes import OutcomeKind
from cometflux.predictions import Status
from cometflux.protocol import decoding

FIRST = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
LAST = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
MOMENTS = {
    "first": {"created_at": FIRST, "started_at": FIRST, "completed_at": LAST},
    "first-in-utc": {"created_at": datetime.min.replace(tzinfo=UTC), "completed_at": datetime.min.replace(tzinfo=UTC)},
    "last": {"created_at": LAST, "started_at": LAST, "completed_at": LAST},
    "none": {"created_at": None, "started_at": None, "completed_at": None},
}
SECONDS = (-math.inf, -1e300, -62_135_596_800.0, -1.0, 0.0, 253_402_300_799.0, 253_402_300_800.0, 1e18, 1e300, math.inf)


def write(folder, records):
    with closing(JournalWriter(folder / FILE_NAME)) as writer:
        writer.open()
        writer.commit(records, ())


def ended(record, **facts):
    return record.sending(job_states.LEFT, "digest", 20).accepted(
        job_states.prediction(record, Status.PROCESSING), job_states.LEFT + 1
    ).ended(OutcomeKind.SUCCEEDED, job_states.prediction(record, **facts), None)  # fmt: skip


def run_all(folder, capsys):
    """Run each command that only reads *folder*, and return what they printed."""
    printed = []
    for command in ("status", "unknown", "gallery"):
        assert 0 == main([command, str(folder)])
        printed += capsys.readouterr()
    for command in ("status", "unknown"):
        assert 0 == main([command, str(folder), "--json"])
        printed += capsys.readouterr()
    return "".join(printed)


@pytest.mark.parametrize("facts", MOMENTS.values(), ids=MOMENTS)
def test_times_at_the_ends_of_the_calendar_do_not_stop_a_command(facts, folder, capsys):
    write(folder, [ended(job_states.plan(0), **facts)])
    run_all(folder, capsys)
    assert (folder / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [*SECONDS, math.nan])
def test_times_of_ours_that_no_calendar_has_do_not_stop_a_command(seconds, folder, capsys):
    record = attrs.evolve(job_states.plan(0).sending(1.0, "digest", 20), began=seconds, answered=seconds)
    write(folder, [record, ended(job_states.plan(1))])
    run_all(folder, capsys)


@pytest.mark.parametrize(
    "text", ["0000-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "10000-01-01"]
)
def test_a_service_s_time_at_the_ends_of_the_calendar_is_no_time(text):
    body = json.dumps({"id": "p1", "status": "succeeded", "output": "https://a.example/1", "created_at": text})
    assert decoding.load_prediction(body.encode(), "p1").created_at is None


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1E+400", "NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_cannot_hold_is_a_text_or_nothing_wherever_it_is_written(number, folder, capsys):
    values = f'"metrics": {{"a": {number}, "b": [{number}]}}, "x": {number}'
    body = f'{{"id": "p00000", "status": "succeeded", "output": [], {values}}}'
    answer = decoding.load_prediction(body.encode(), "p00000")
    assert answer.metrics["a"] in (number, None)
    write(folder, [ended(job_states.plan(0), metrics=answer.metrics, extra=answer.extra)])
    run_all(folder, capsys)
    (line,) = write_manifest(folder).read_text().splitlines()
    json.loads(line, parse_constant=pytest.fail)
    assert "inf" not in repr(json.loads(line)["metrics"])


def test_a_number_without_end_that_an_older_journal_holds_is_read_as_a_text(folder, capsys):
    write(folder, [ended(job_states.plan(0), metrics={"predict_time": math.inf, "list": [math.nan]})])
    (line,) = write_manifest(folder).read_text().splitlines()
    assert {"predict_time": "Infinity", "list": ["NaN"]} == json.loads(line, parse_constant=pytest.fail)["metrics"]
    run_all(folder, capsys)


ODD = (["x"], {"id": "x"}, 5, True, None, "", "\u202e")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["id", "created_at", "metrics", "index", "key", "model", "input", "tags"])
def test_a_record_next_to_a_picture_may_hold_anything(name, folder):
    """The journal does not know the pictures: somebody put them there, or another version of cometflux."""
    job_states.write(folder, job_states.succeed(job_states.plan(0), folder, job_states.picture()))
    for number, odd in enumerate(ODD):
        record = {"file": f"x{number}.png", "prediction": {"id": f"p9{number}"}, "input": {}}
        (record if name in ("index", "key", "model", "input", "tags") else record["prediction"])[name] = odd
        (folder / f"x{number}.png").write_bytes(job_states.picture())
        (folder / f"x{number}.json").write_text(json.dumps(record))
    for command in ("gallery .", "gallery . --sheet"):
        assert 0 == main(command.split())
    page = (folder / "index.html").read_text()
    assert all(f"x{number}.png" in page for number in range(len(ODD)))
