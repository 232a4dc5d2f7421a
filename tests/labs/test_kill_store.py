"""Kill the process of a batch into an object store again and again, with a faulty store and service.

As in test_kill, the moments are random, and the bills, the journal and the objects are checked after each kill.
"""

import hashlib
import json
import signal
from collections import Counter
from pathlib import PurePath

import pytest
from bill_checks import KilledBatch
from s3_server import NAME, Bucket

FAULTS = ("lost", "cut", "503 SlowDown", "500 InternalError")
PLACE = f"s3://{NAME}/made"


class StoreShop(KilledBatch):
    """A batch whose images go to a bucket."""

    bucket = None

    def run(self, *arguments, **options):
        self.bucket.mend()
        for part in (".webp", ".json"):
            # One put may meet them all, and is repeated so often at most.
            for _ in range(self.chance.randint(0, 4)):
                self.bucket.fail(self.chance.choice(FAULTS), part=part)
        return super().run(*arguments, **options)

    def files(self):
        return [path for path in map(PurePath, self.bucket.names()) if path.suffix in (".webp", ".jpg", ".png")]

    def check_files(self):
        names = set(self.bucket.names())
        for path in self.files():
            data = self.bucket.read(str(path))
            beside = str(path.with_suffix(".json"))
            if beside in names:
                told = json.loads(self.bucket.read(beside))
                assert (path.name, len(data), hashlib.sha256(data).hexdigest()) == (
                    *(told[name] for name in ("file", "bytes", "sha256")),
                )
        assert {} == {index: n for index, n in Counter(path.name[:5] for path in self.files()).items() if n > 1}

    def check_end(self, outcomes):
        super().check_end(outcomes)
        pairs = [str(name) for path in self.files() for name in (path.with_suffix(".json"), path)]
        probes = [name for name in self.bucket.names() if ".cometflux-" in name]
        assert sorted(pairs + probes) == self.bucket.names(), "each image is there once, with its record"


@pytest.mark.parametrize(
    ("jobs", "kills", "seed"),
    [
        pytest.param(24, 1, 1, id="few"),
        *(pytest.param(400, 12, seed, id=f"many, seed {seed}", marks=pytest.mark.hard) for seed in (2, 3, 4)),
    ],
)
def test_a_batch_into_a_store_that_is_killed_again_and_again_pays_and_puts_nothing_twice(
    tmp_path, monkeypatch, jobs, kills, seed
):
    with Bucket() as bucket, StoreShop(tmp_path, jobs=jobs, seed=seed, place=PLACE) as batch:
        bucket.reset()
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        batch.bucket = bucket
        for more in reversed(range(kills)):
            code, _ = batch.run_until_struck(signal.SIGKILL, more)
            assert -signal.SIGKILL == code
            batch.check_money()
            batch.check_files()

        outcomes = batch.finish()

        bills, puts = len(batch.service.bills), bucket.count("PUT", "/made/0")
        again = batch.run_to_the_end()
        assert (bills, puts) == (len(batch.service.bills), bucket.count("PUT", "/made/0"))
        assert [{**outcome, "resumed": True} for outcome in outcomes] == again
        print(f"{kills} kills, {bills} bills, {len(batch.files())} images, {len(bucket.requests)} requests")
