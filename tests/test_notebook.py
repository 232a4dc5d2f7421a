"""The progress of a batch in a notebook."""

import asyncio
import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cometflux.errors import SessionStoppedError
from cometflux.notebook import Bar, Progress, duration, progress
from cometflux.testing import LocalService
from cometflux.wiring import open_session


@pytest.fixture
async def session(service):
    async with open_session(api_key=service.key, base_url=service.url, max_pending=4) as session:
        yield session


ROOT = Path(__file__).parents[1]


class Cell:
    """What stands below a cell: what was drawn, and when."""

    def __init__(self):
        self.drawn = []
        self.times = []

    def publish(self, bundle, again):
        assert again == bool(self.drawn), "only what is there can be drawn anew"
        self.drawn.append(bundle)
        self.times.append(asyncio.get_running_loop().time())

    @property
    def text(self):
        return self.drawn[-1]["text/plain"]


async def test_each_outcome_is_handed_on_and_counted(session, tmp_path):
    cell = Cell()
    jobs = [f"boat {number}" for number in range(6)]
    batch = session.generate(jobs, save_to=tmp_path)
    outcomes = [outcome async for outcome in Progress(batch, Bar(6, cell.publish))]
    assert set(range(6)) == {outcome.index for outcome in outcomes}
    assert "0 of 6" in cell.drawn[0]["text/plain"]
    assert re.match(r"6 of 6 · 6 succeeded · \d s$", cell.text)
    assert 'value="6" max="6"' in cell.drawn[-1]["text/html"]


async def test_it_is_drawn_a_few_times_a_second_at_most(service):
    cell = Cell()
    async with open_session(api_key=service.key, base_url=service.url, max_pending=64) as session:
        jobs = [f"boat {number}" for number in range(50)]
        async for _ in Progress(session.generate(jobs), Bar(50, cell.publish)):
            await asyncio.sleep(0.04)
    pauses = [later - earlier for earlier, later in zip(cell.times, cell.times[1:], strict=False)]
    # The last one shows how it ended, at once.
    assert min(pauses[:-1]) >= 0.2499
    assert len(cell.drawn) < 25
    assert "50 of 50" in cell.text
    assert any(re.search(r" · about \d+ s left$", bundle["text/plain"]) for bundle in cell.drawn)


async def test_what_was_taken_before_the_loop_was_left_is_drawn_soon(session):
    cell = Cell()
    taken = 0
    async for _ in Progress(session.generate(["a boat", "a mill", "a tram"]), Bar(3, cell.publish)):
        taken += 1
        if taken == 2:
            break
    await asyncio.sleep(0.3)
    assert "2 of 3" in cell.text


async def test_leaving_the_loop_stops_the_batch_though_a_drawing_is_due(service, session):
    drawn = 0

    def jobs():
        nonlocal drawn
        while True:
            drawn += 1
            yield f"boat {drawn}"

    async for _ in Progress(session.generate(jobs()), Bar(None, Cell().publish)):
        break
    gc.collect()
    await asyncio.sleep(0)
    count = drawn
    await asyncio.sleep(30)
    assert count == drawn
    assert len(service.bills) <= count


async def test_where_nobody_knows_how_many_there_are_none_is_named(session):
    cell = Cell()
    async for _ in Progress(session.generate(iter(["a boat"])), Bar(None, cell.publish)):
        pass
    assert cell.text.startswith("1 · 1 succeeded")
    assert "max=" not in cell.drawn[-1]["text/html"]


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
    cell = Cell()
    async for _ in Progress(session.generate(["a boat", "a mill"], save_to=tmp_path), Bar(2, cell.publish)):
        pass
    assert word in cell.text
    assert "1 succeeded" in cell.text


async def test_a_batch_that_stops_before_its_time_shows_how_far_it_came(service, session):
    service.fail("402")
    cell = Cell()
    with pytest.raises(SessionStoppedError):
        async for _ in Progress(session.generate([f"boat {number}" for number in range(50)]), Bar(50, cell.publish)):
            pass
    assert re.match(r"\d+ of 50 · ", cell.text)
    assert "rejected" in cell.text


async def test_what_an_earlier_run_bought_tells_nothing_of_the_time_that_is_left(service, tmp_path):
    for cell in (Cell(), Cell()):
        async with open_session(api_key=service.key, base_url=service.url, journal=tmp_path) as session:
            batch = session.generate([f"boat {number}" for number in range(4)], save_to=tmp_path)
            async for _ in Progress(batch, Bar(4, cell.publish)):
                await asyncio.sleep(0.3)
    assert 4 == len(service.bills)
    assert 4 <= len(cell.drawn)
    assert [] == [bundle for bundle in cell.drawn if "left" in bundle["text/plain"]]


async def test_no_outcome_is_lost_for_a_drawing(session, caplog):
    def publish(bundle, again):
        raise OSError("the notebook is gone")

    outcomes = [outcome async for outcome in Progress(session.generate(["a boat", "a mill"]), Bar(2, publish))]
    assert [True, True] == [outcome.ok for outcome in outcomes]
    assert ["the progress cannot be drawn any more"] == [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.7, "1 min 0 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90061, "25 h 1 min")],
)
def test_a_time_is_told_as_people_tell_it(seconds, words):
    assert words == duration(seconds)


async def test_a_cancel_loses_no_outcome(session):
    outcomes = Progress(session.generate(["a boat"]), Bar(1, Cell().publish))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await anext(outcomes)
    assert (await anext(outcomes)).ok


async def test_where_there_is_no_notebook_nothing_is_drawn_and_all_is_handed_on(session, capsys):
    outcomes = [outcome async for outcome in progress(session.generate(["a boat", "a mill"]))]
    assert [True, True] == [outcome.ok for outcome in outcomes]
    assert ("", "") == tuple(capsys.readouterr())


@pytest.mark.parametrize(("jobs", "total"), [(["a", "b"], 2), ((), 0), (iter(["a"]), 7), ({"a": 1}.keys(), 1)])
async def test_a_batch_hints_at_its_length_where_its_jobs_have_one(session, jobs, total):
    from operator import length_hint

    assert total == length_hint(session.generate(jobs), 7)


@pytest.mark.hard
@pytest.mark.realtime
def test_a_kernel_draws_it_in_place(tmp_path):
    """A kernel of its own, as a notebook has it."""
    import nbformat
    from nbclient import NotebookClient

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
        NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    bar, last = notebook.cells[0].outputs
    assert "12 of 12 · 12 succeeded" in bar.data["text/plain"]
    assert 'value="12" max="12"' in bar.data["text/html"]
    assert {"text/plain", "text/html", "image/webp"} == set(last.data)


@pytest.mark.hard
def test_a_shell_in_a_terminal_is_no_notebook(comet_service, tmp_path):
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
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert "[True]" == done.stdout.strip(), done.stderr


@pytest.mark.hard
@pytest.mark.realtime
def test_the_guide_works_as_it_stands_in_a_kernel(comet_service, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("COMETAPI_KEY", comet_service.key)
    monkeypatch.setenv("COMETFLUX_BASE_URL", comet_service.url)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    page = (ROOT / "docs" / "guides" / "notebook.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, blocks)])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    one, many, shown = [cell.outputs for cell in notebook.cells]
    assert "a lighthouse in fog" in one[0].data["text/html"]
    assert many[0].data["text/plain"].startswith("3 of 3 · 3 succeeded")
    assert [True] * 3 == ["image/webp" in output.data for output in shown]
