"""How many requests to a store a picture takes, as docs/guides/many-machines.md says."""

from collections import Counter

import pytest

from cometflux import open_session
from cometflux.distributed import workbench

JOBS = 12


class OneWorker:
    """An engine with one worker, which is this process."""

    async def open(self):
        pass

    async def workers(self):
        return {"tcp://10.0.0.1:1": 2}

    async def carry_out(self, page, worker):
        return await workbench.carry_out(page)

    async def aclose(self):
        await workbench.close()


@pytest.mark.realtime
@pytest.mark.parametrize(("savers", "looks", "first"), [(None, 1, 7), (OneWorker(), 2, 17)], ids=["here", "worker"])
async def test_a_picture_takes_two_puts_and_a_look_for_its_record(savers, looks, first, service, bucket, tmp_path):
    service.latency = 0.05
    options = {"api_key": service.key, "base_url": service.url, "journal": tmp_path, "savers": savers}
    async with open_session(**options) as session:
        prompts = [f"{number} paper boats" for number in range(JOBS)]
        assert [True] * JOBS == [each.ok async for each in session.generate(prompts, save_to="s3://pictures/tour")]
    seen = Counter((method, path.rpartition(".")[2]) for method, path in bucket.requests if ".cometflux-" not in path)
    heads = seen.pop(("HEAD", "webp"), 0)
    assert (heads > 0) is (savers is not None), "one look for each page of a worker"
    assert heads <= JOBS
    # A POST removes what proved the place.
    wanted = {("PUT", "webp"): JOBS, ("PUT", "json"): JOBS, ("GET", "json"): looks * JOBS}
    assert wanted == {each: count for each, count in seen.items() if each[0] != "POST"}
    assert first == sum(".cometflux-" in path or method == "POST" for method, path in bucket.requests), "at the start"
