"""Outcomes become a table through the Arrow PyCapsule interface."""

from decimal import Decimal
from pathlib import Path

import polars
import pyarrow
import pytest

from cometflux import Job, OutputOf, flux, open_session
from cometflux.errors import ConfigError
from cometflux.export import OutcomeTable
from cometflux.outcomes import Outcome, OutcomeKind

FIRST = ["index", "key", "kind", "ok", "model", "prompt", "prediction_id", "files", "error", "money", "resumed"]


async def outcomes_of(service, folder, *jobs):
    async with open_session(api_key=service.key, base_url=service.url) as session:
        return [outcome async for outcome in session.generate(jobs, save_to=folder)]


def ended(number, **values):
    job = Job(model="somebody/something", input={"prompt": "a fox", **values})
    return Outcome(index=number, key=f"#{number:05d}", job=job, kind=OutcomeKind.SUCCEEDED)


async def test_each_outcome_is_a_row_with_its_parameters_and_tags(service, tmp_path):
    fox = Job.of(flux.Schnell(prompt="a fox", seed=7), key="fox")
    owl = Job(model="somebody/nothing", input={"prompt": "an owl", "steps": 4}, tags={"sku": "A-1"})
    frame = polars.DataFrame(OutcomeTable(await outcomes_of(service, tmp_path, fox, owl))).sort("index")
    assert FIRST == frame.columns[:11]
    rows = frame.to_dicts()
    assert {"key": "fox", "kind": "succeeded", "ok": True, "prompt": "a fox", "seed": 7, "sku": None}.items() <= rows[
        0
    ].items()
    assert [str(tmp_path / "00000-a-fox.webp")] == rows[0]["files"]
    assert {"key": "#00001", "steps": 4, "sku": "A-1"}.items() <= rows[1].items()


@pytest.mark.parametrize("ahead", [[], [ended(0)]], ids=["none", "one without"])
def test_a_table_may_be_empty_or_lack_values(ahead):
    table = pyarrow.table(OutcomeTable(ahead))
    assert len(ahead) == table.num_rows == len(OutcomeTable(ahead))
    assert FIRST == table.column_names[:11]


def test_values_that_no_column_can_hold_are_text():
    given = [ended(0, size=2**70, images=[Path("/home/me/a.png"), b"bytes"], source=OutputOf("fox")), ended(1, size=1)]
    rows = pyarrow.table(OutcomeTable(given)).to_pylist()
    assert [str(2**70), "1"] == [row["size"] for row in rows]
    assert "a.png" in rows[0]["images"]
    assert "/home/me" not in rows[0]["images"]
    assert "fox" in rows[0]["source"]


def test_an_estimate_is_in_dollars():
    outcome = Outcome(index=0, key="a", job=Job.of("a fox"), kind=OutcomeKind.FAILED, estimated_cost=Decimal("0.003"))
    assert [0.003] == pyarrow.table(OutcomeTable([outcome])).column("estimated_cost").to_pylist()


def test_what_is_no_outcome_is_refused():
    with pytest.raises(ConfigError, match="must be outcomes, as generate yields them"):
        OutcomeTable([ended(0), "a fox"])
