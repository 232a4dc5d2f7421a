"""The progress of a batch in a notebook."""

import asyncio
import gc
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from notebook_runs import execute
from waiting import PATIENCE

from cometflux.errors import ConfigError, SessionStoppedError
from cometflux.notebook import Progress, make_bar, progress
from cometflux.session.open import open_session
from cometflux.testing import LocalService


@pytest.fixture
async def session(service):
    async with open_session(api_key=service.key, base_url=service.url, max_pending=4) as session:
        yield session


ROOT = Path(__file__).parents[2]


class Cell:
    """The output below a cell: one line that is written again and again."""

    def __init__(self, total, **options):
        self.output = io.StringIO()
        self.bar = make_bar(total, file=self.output, **options)

    @property
    def drawn(self):
        return [line.strip() for line in self.output.getvalue().split("\r") if line.strip()]

    @property
    def text(self):
        return self.drawn[-1]


async def test_each_outcome_is_handed_on_and_counted(session, tmp_path):
    cell = Cell(6)
    jobs = [f"boat {number}" for number in range(6)]
    batch = session.generate(jobs, save_to=tmp_path)
    outcomes = [outcome async for outcome in Progress(batch, cell.bar)]
    assert set(range(6)) == {outcome.index for outcome in outcomes}
    assert "0/6 [" in cell.drawn[0]
    assert re.match(r"100%\|#+\| 6/6 \[.*job/s, 6 succeeded\]$", cell.text)


@pytest.mark.slow
async def test_it_is_drawn_a_few_times_a_second_at_most_and_the_last_outcome_soon(service):
    cell = Cell(50, mininterval=3600)
    async with open_session(api_key=service.key, base_url=service.url, max_pending=64) as session:
        batch = Progress(session.generate([f"boat {number}" for number in range(50)]), cell.bar)
        for _ in range(50):
            await anext(batch)
        assert ["0/50"] == re.findall(r"\d+/50", "".join(cell.drawn))
        await asyncio.sleep(0.3)
        assert ["0/50", "50/50"] == re.findall(r"\d+/50", "".join(cell.drawn))


async def test_an_outcome_taken_before_the_loop_was_left_is_drawn_soon(session):
    cell = Cell(3)
    taken = 0
    async for _ in Progress(session.generate(["a boat", "a mill", "a tram"]), cell.bar):
        taken += 1
        if taken == 2:
            break
    await asyncio.sleep(0.3)
    assert "2/3" in cell.text


async def test_leaving_the_loop_stops_the_batch_though_a_drawing_is_due(service, session):
    drawn = 0

    def jobs():
        nonlocal drawn
        while True:
            drawn += 1
            yield f"boat {drawn}"

    async for _ in Progress(session.generate(jobs()), Cell(None).bar):
        break
    gc.collect()
    await asyncio.sleep(0)
    count = drawn
    await asyncio.sleep(30)
    assert count == drawn
    assert len(service.bills) <= count


async def test_without_a_known_total_no_total_is_shown(session):
    cell = Cell(None)
    async for _ in Progress(session.generate(iter(["a boat"])), cell.bar):
        pass
    assert re.match(r"1job \[.*, 1 succeeded\]$", cell.text)


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ("failed", "1 failed"),
        ("422", "1 rejected"),
        ("output-404", "1 not saved"),
        ("drop", "1 unknown"),
    ],
)
async def test_what_did_not_work_out_is_named(service, session, tmp_path, fault, word):
    service.fail(fault, after=fault == "drop")
    cell = Cell(2)
    async for _ in Progress(session.generate(["a boat", "a mill"], save_to=tmp_path), cell.bar):
        pass
    assert word in cell.text
    assert "1 succeeded" in cell.text


async def test_a_batch_that_stops_before_its_time_shows_how_far_it_came(service, session):
    service.fail("402")
    cell = Cell(50)
    with pytest.raises(SessionStoppedError):
        async for _ in Progress(session.generate([f"boat {number}" for number in range(50)]), cell.bar):
            pass
    assert re.search(r" [1-9]\d*/50 ", cell.text)
    assert "rejected" in cell.text


async def test_resumed_outcomes_do_not_change_the_time_left(service, tmp_path):
    for cell in (Cell(4, mininterval=0), Cell(4, mininterval=0)):
        async with open_session(api_key=service.key, base_url=service.url, journal=tmp_path) as session:
            async for _ in Progress(session.generate(["a", "b", "c", "d"], save_to=tmp_path), cell.bar):
                pass
    assert 4 == len(service.bills)
    halfway = next(line for line in cell.drawn if "2/4" in line)
    assert re.search(r"<\?, +(\?|0\.00)job/s, 2 succeeded\]$", halfway)


async def test_no_outcome_is_lost_for_a_drawing(session, caplog):
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError("the notebook is gone")

    cell = Cell(2, mininterval=0)
    cell.bar.sp = cell.bar.status_printer(Gone())
    outcomes = [outcome async for outcome in Progress(session.generate(["a boat", "a mill"]), cell.bar)]
    assert [True, True] == [outcome.ok for outcome in outcomes]
    assert ["the progress bar can no longer be drawn"] == [record.getMessage() for record in caplog.records]


def test_a_bar_without_tqdm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ConfigError, match=r'needs an extra: pip install "cometflux\[notebook\]"$'):
        make_bar(3)


async def test_a_cancel_loses_no_outcome(session):
    cell = Cell(1)
    outcomes = Progress(session.generate(["a boat"]), cell.bar)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await anext(outcomes)
    assert (await anext(outcomes)).ok
    await asyncio.sleep(0.3)
    assert "1/1" in cell.text


async def test_outside_a_notebook_nothing_is_drawn_and_every_outcome_is_yielded(session, capsys):
    outcomes = [outcome async for outcome in progress(session.generate(["a boat", "a mill"]))]
    assert [True, True] == [outcome.ok for outcome in outcomes]
    assert ("", "") == tuple(capsys.readouterr())


@pytest.mark.parametrize(("jobs", "total"), [(["a", "b"], 2), ((), 0), (iter(["a"]), 7), ({"a": 1}.keys(), 1)])
async def test_a_batch_hints_at_its_length_if_its_jobs_have_one(session, jobs, total):
    from operator import length_hint

    assert total == length_hint(session.generate(jobs), 7)


@pytest.mark.hard
@pytest.mark.realtime
def test_a_kernel_draws_it_in_place(tmp_path):
    """A kernel of its own, as a notebook has it."""
    import nbformat

    code = """
from cometflux import open_session
from cometflux.notebook import progress

async with open_session() as session:
    async for outcome in progress(session.generate([f"boat {n}" for n in range(12)], save_to="images")):
        pass
outcome
"""
    with LocalService.in_thread(latency=0.2, pixels=4096) as service, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMETAPI_KEY", service.key)
        patch.setenv("COMETFLUX_BASE_URL", service.url)
        patch.setenv("PYTHONPATH", str(ROOT))
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        execute(notebook, tmp_path)
    bar, last = notebook.cells[0].outputs
    assert "stdout" == bar.name
    assert re.search(r"12/12 \[.*, 12 succeeded\]\s*$", bar.text)
    assert {"text/plain", "text/html", "image/webp"} == set(last.data)


@pytest.mark.hard
def test_a_shell_in_a_terminal_is_not_a_notebook(comet_service, tmp_path):
    code = (
        "import asyncio\nfrom cometflux import open_session\nfrom cometflux.notebook import progress\n"
        "async def main():\n  async with open_session() as s:\n"
        "    return [o.ok async for o in progress(s.generate(['a boat']))]\n"
        "print(asyncio.run(main()))\n"
    )
    environment = {
        "COMETAPI_KEY": comet_service.key,
        "COMETFLUX_BASE_URL": comet_service.url,
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment)
    assert "[True]" == done.stdout.strip(), done.stderr


@pytest.mark.hard
@pytest.mark.realtime
def test_the_guide_works_unchanged_in_a_kernel(comet_service, tmp_path, monkeypatch):
    import nbformat

    monkeypatch.setenv("COMETAPI_KEY", comet_service.key)
    monkeypatch.setenv("COMETFLUX_BASE_URL", comet_service.url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    page = (ROOT / "docs" / "guides" / "notebook.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, blocks)])
    execute(notebook, tmp_path)
    one, many, shown = [cell.outputs for cell in notebook.cells]
    assert "a lighthouse in fog" in one[0].data["text/html"]
    assert re.search(r"3/3 \[.*, 3 succeeded\]\s*$", many[0].text)
    assert [True] * 3 == ["image/webp" in output.data for output in shown]
