"""The recipes of docs/guides/other-engines.md run with the engines they are for, which are in `make test-engines` only.

Each recipe is taken from the page, and runs in a process of its own against the local service.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from docs_page import ROOT
from s3_server import NAME
from waiting import PATIENCE, wait_until

from cometflux import Journal
from cometflux.errors import JournalError
from cometflux.testing import LocalService

pytestmark = [pytest.mark.realtime, pytest.mark.hard]
PAGE = (ROOT / "docs" / "guides" / "other-engines.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"<!-- file: (\w+\.py) -->\n```python\n(.*?)```\n", PAGE, re.DOTALL))
# No engine sends reports of its use, and each keeps to this folder and to the loopback.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    "NEMO_TELEMETRY_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}


class Recipe:
    """A folder with one recipe of the page, and the service."""

    def __init__(self, folder, service):
        self.folder = folder
        self.service = service
        self.more = {}

    def write(self, name, **replaced):
        """Write the recipe as the page has it, except for what is the reader's own."""
        text = RECIPES[name]
        for old, new in replaced.values():
            assert old in text
            text = text.replace(old, new)
        (self.folder / name).write_text(text, encoding="utf-8")

    def start(self, script):
        """Start a script in the folder, with *script* as its text."""
        path = self.folder / "script.py"
        path.write_text(script, encoding="utf-8")
        homes = {
            name: str(self.folder / name.lower()) for name in ("PREFECT_HOME", "AIRFLOW_HOME", "DATA_DESIGNER_HOME")
        }
        environment = os.environ | QUIET | homes | self.more
        environment |= {
            "COMETAPI_KEY": self.service.key,
            "COMETFLUX_BASE_URL": self.service.url,
            "PYTHONPATH": os.pathsep.join(map(str, (self.folder, ROOT))),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        }
        with (self.folder / "printed").open("wb") as printed:
            return subprocess.Popen(
                [sys.executable, path],
                cwd=self.folder,
                env=environment,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, process):
        """Wait for a script; return the last line that it printed, read as JSON."""
        try:
            code = process.wait(timeout=10 * PATIENCE)
        finally:
            self.stop(process)
        printed = (self.folder / "printed").read_text()
        assert 0 == code, printed
        found = [line for line in printed.splitlines() if line.startswith("told: ")]
        return json.loads(found[-1].removeprefix("told: "))

    def stop(self, process):
        """Kill a script with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def run(self, script):
        return self.end(self.start(script))

    @property
    def bills(self):
        """The number of bills for each prompt."""
        return Counter(bill.input["prompt"] for bill in self.service.bills)


@pytest.fixture
def service():
    with LocalService.in_thread(latency=0.3, pixels=256) as service:
        yield service


@pytest.fixture
def recipe(tmp_path, service):
    return Recipe(tmp_path, service)


def needs(name):
    """Skip the test if the package of the engine is missing. It is not imported: an engine has warnings of its own."""
    from importlib.util import find_spec

    return pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed: make test-engines")


# ── Ray ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

RAY_START = """
import asyncio, json, os, runpy
import ray
ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
"""
RAY_MAIN = (
    RAY_START
    + """
runpy.run_path("ray_savers.py", run_name="__main__")
print("told:", json.dumps(ray.is_initialized()))
"""
)
RAY_KILLED = (
    RAY_START
    + """
import ray_savers
from cometflux import open_session

PROMPTS = [f"{number} paper boats" for number in range(40)]
carried, killed = [], []


class Counting(ray_savers.RayEngine):
    async def carry_out(self, page, worker):
        answer = await super().carry_out(page, worker)
        carried.append(len(json.loads(answer)["results"]))
        return answer


async def main():
    engine, ends = Counting("auto"), []
    async with open_session(journal="journal", max_pending=8, savers=engine) as session:
        async for outcome in session.generate(PROMPTS, save_to="pictures"):
            ends.append(outcome.kind)
            if len(ends) in (4, 12, 20, 28):
                for actor in list(engine.actors.values()):
                    ray.kill(actor)
                    killed.append(actor)
    return {"ends": ends, "carried": sum(carried), "killed": len(killed)}


print("told:", json.dumps(asyncio.run(main())))
"""
)


@needs("ray")
def test_ray_saves_on_its_nodes_and_a_second_run_is_charged_for_nothing(recipe, bucket):
    recipe.write("ray_savers.py", place=("s3://my-bucket/tour", f"s3://{NAME}/tour"))
    recipe.more = bucket.environment
    assert recipe.run(RAY_MAIN)
    images = [name for name in bucket.names() if name.endswith(".webp")]
    assert 1 == len(images)
    assert recipe.run(RAY_MAIN)
    assert {"a paper boat": 1} == recipe.bills
    assert images == [name for name in bucket.names() if name.endswith(".webp")]


@needs("ray")
def test_an_actor_of_ray_that_is_killed_costs_nothing(recipe):
    recipe.write("ray_savers.py")
    told = recipe.run(RAY_KILLED)
    assert ["succeeded"] * 40 == told["ends"]
    assert told["killed"] >= 2
    assert told["carried"] > 20, "the actors saved the pictures, not the process that submits"
    assert {f"{number} paper boats": 1 for number in range(40)} == recipe.bills
    assert 40 == len(list((recipe.folder / "pictures").glob("*.webp")))


# ── Prefect ──────────────────────────────────────────────────────────────────────────────────────────────────────────

PREFECT = """
import json
import prefect_parts
prefect_parts.make_part = prefect_parts.make_part.with_options(retry_delay_seconds=0.1)
prefect_parts.make_set(2)
print("told:", json.dumps(True))
"""


@needs("prefect")
def test_a_part_of_prefect_that_is_killed_is_retried_and_each_job_is_charged_once(recipe):
    recipe.write("prefect_parts.py")
    prompts = [f"{number} paper boats" for number in range(12)]
    (recipe.folder / "prompts.csv").write_text("".join(f"{line}\n" for line in ("prompt", *prompts)))
    recipe.service.freeze()  # No prediction ends before the part is killed.
    process = recipe.start(PREFECT)
    folder = recipe.folder / "tour" / "part-1-of-2"
    try:
        while not recipe.service.requests and process.poll() is None:
            # Prefect has its own patience with its server.
            time.sleep(0.1)
        wait_until(lambda: len(recipe.bills) == 12 and are_accepted(folder))
        (killed,) = commands_of(recipe.folder, "--part\x001/2")
        os.kill(killed, signal.SIGKILL)
        recipe.service.thaw()
    except BaseException:
        recipe.stop(process)
        raise
    assert recipe.end(process)
    assert dict.fromkeys(prompts, 1) == recipe.bills
    assert 12 == len(list((recipe.folder / "tour").glob("part-*/*.webp")))
    assert "retry" in (recipe.folder / "printed").read_text().lower()
    assert recipe.run(PREFECT)
    assert dict.fromkeys(prompts, 1) == recipe.bills


def are_accepted(folder):
    """Whether the journal has the ids of all its jobs."""
    try:
        with Journal(folder) as journal:
            return all(record.prediction_id for record in journal.records())
    except (JournalError, OSError):
        return False


def commands_of(folder, words):
    """The processes in *folder* with these words in their command line."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").resolve() == folder and words in (path / "cmdline").read_text():
                yield int(path.name)
        except OSError:
            continue


# ── Data Designer ────────────────────────────────────────────────────────────────────────────────────────────────────

DESIGNER = """
import json
from data_designer.config import DataDesignerConfigBuilder, ExpressionColumnConfig, SamplerColumnConfig
from data_designer.config import UUIDSamplerParams
from data_designer.interface import DataDesigner
import picture_column

builder = DataDesignerConfigBuilder(model_configs=[])
builder.add_column(SamplerColumnConfig(name="name", sampler_type="uuid", params=UUIDSamplerParams()))
builder.add_column(ExpressionColumnConfig(name="prompt", expr="a fox named {{ name }}"))
builder.add_column(picture_column.column)
rows = DataDesigner(artifact_path="artifacts").create(builder, num_records=5).load_dataset()
again = picture_column.add_pictures(rows[["prompt"]])
print("told:", json.dumps([list(rows["prompt"]), list(rows["picture"]), list(again["picture"])]))
"""


@needs("data_designer")
def test_a_column_of_data_designer_has_a_picture_for_each_prompt_and_again_costs_nothing(recipe):
    recipe.write("picture_column.py")
    prompts, pictures, again = recipe.run(DESIGNER)
    assert 5 == len(set(prompts)) == len(set(pictures))
    assert dict.fromkeys(prompts, 1) == recipe.bills
    assert pictures == again
    for prompt, picture in zip(prompts, pictures, strict=True):
        told = json.loads((recipe.folder / picture).with_suffix(".json").read_text())
        assert prompt == told["input"]["prompt"]


# ── Airflow ──────────────────────────────────────────────────────────────────────────────────────────────────────────

AIRFLOW = """
import asyncio, json, os
from types import SimpleNamespace
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow_prediction import MakePicture


def try_once(operator, **names):
    task = SimpleNamespace(**{"dag_id": "tour", "run_id": "manual__2026", "map_index": -1, **names})
    try:
        operator.execute({"ti": task})
    except TaskDeferred as deferred:
        return deferred
    raise RuntimeError("it did not defer")


async def follow(deferred):
    path, given = deferred.trigger.serialize()
    async for event in import_string(path)(**given).run():
        return event.payload


boat = MakePicture(task_id="boat", prompt="a paper boat", journals="journals")
first, second = (try_once(boat, task_id="boat") for _ in range(2))
events = [asyncio.run(follow(each)) for each in (first, second)]
others = [try_once(boat, task_id="boat", **names) for names in ({"map_index": 1}, {"dag_id": "b"})]
events += [asyncio.run(follow(each)) for each in others]
outputs = [getattr(boat, first.method_name)({}, event) for event in events]
print("told:", json.dumps([[event["id"] for event in events], outputs]))
"""
DAG = """
from airflow.sdk import DAG
from airflow_prediction import MakePicture

with DAG("tour", schedule=None) as dag:
    MakePicture(task_id="boat", prompt="a paper boat", journals="journals")
    MakePicture.partial(task_id="animals", journals="journals").expand(prompt=["a fox", "an owl"])
"""
AIRFLOW_DAG = """
import json, runpy, subprocess, sys
subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
run = runpy.run_path("airflow_home/dags/tour.py")["dag"].test()
print("told:", json.dumps(str(run.state)))
"""


@needs("airflow")
def test_a_task_of_airflow_that_is_retried_gets_the_same_prediction_back(recipe):
    recipe.write("airflow_prediction.py")
    (first, second, *others), outputs = recipe.run(AIRFLOW)
    assert first == second
    assert 3 == len({first, *others}), "another task has another prediction"
    assert [first, *others] == [bill.id for bill in recipe.service.bills]
    origin = recipe.service.url.removesuffix("/replicate/v1")
    assert [1, 1, 1, 1] == [len(urls) for urls in outputs]
    assert all(url.startswith(origin) for (url,) in outputs)


@needs("airflow")
def test_a_dag_of_airflow_makes_a_picture_for_each_of_its_tasks(recipe):
    recipe.write("airflow_prediction.py")
    (recipe.folder / "airflow_home" / "dags").mkdir(parents=True)
    (recipe.folder / "airflow_home" / "dags" / "tour.py").write_text(DAG)
    assert recipe.run(AIRFLOW_DAG).endswith("success")
    assert {"a paper boat": 1, "a fox": 1, "an owl": 1} == recipe.bills
