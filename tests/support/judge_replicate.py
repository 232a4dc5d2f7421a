"""Run one case with version 2 of the ``replicate`` package, and print the result as JSON. See test_judges.

::

    python judge_replicate.py URL KEY CASE
"""

import asyncio
import json
import os
import sys

from replicate import AsyncReplicate, Replicate, ReplicateError
from replicate.exceptions import ModelError

OWNER = "black-forest-labs"
SCHNELL = f"{OWNER}/flux-schnell"
PRO = f"{OWNER}/flux-1.1-pro"


class Asked:
    """One client with its cases."""

    def __init__(self, url, key):
        # Strict validation makes a response of another shape an error.
        options = {"bearer_token": key, "base_url": url, "_strict_response_validation": True}
        self.client = Replicate(**options)
        self.asynchronous = AsyncReplicate(**options)

    def create(self):
        given = {"prompt": "a boat", "num_outputs": 2}
        created = self.client.models.predictions.create(model_owner=OWNER, model_name="flux-schnell", input=given)
        ended = self.client.predictions.wait(created.id)
        return [created.status, ended.status, names(ended.output)]

    def by_version(self):
        created = self.client.predictions.create(version=PRO, input={"prompt": "a boat"})
        return names(self.client.predictions.wait(created.id).output)

    def run_blocking(self):
        return [names(self.client.run(model, input={"prompt": "a boat"})) for model in (SCHNELL, PRO)]

    def run_polling(self):
        return [names(self.client.run(model, input={"prompt": "a boat"}, wait=False)) for model in (SCHNELL, PRO)]

    def run_asynchronously(self):
        async def run():
            output = [await self.asynchronous.run(model, input={"prompt": "a boat"}) for model in (SCHNELL, PRO)]
            return [names(each) for each in output]

        return asyncio.run(run())

    def read_file(self):
        return self.client.run(PRO, input={"prompt": "a boat"}).read()[8:12].decode()

    def cancel(self):
        created = self.client.predictions.create(version=PRO, input={"prompt": "a boat"})
        return self.client.predictions.cancel(prediction_id=created.id).status

    def fail(self):
        try:
            self.client.run(SCHNELL, input={"prompt": "a boat"})
        except ModelError as error:
            return error.prediction.error

    def be_refused(self):
        try:
            self.client.run(SCHNELL, input={})
        except ReplicateError as error:
            return [error.status_code, error.body["detail"]]


def names(output):
    if isinstance(output, list):
        return [names(each) for each in output]
    return str(output).rpartition("/")[2]


if __name__ == "__main__":
    os.environ["REPLICATE_POLL_INTERVAL"] = "0.01"
    url, key, case = sys.argv[1:]
    json.dump(getattr(Asked(url, key), case)(), sys.stdout)
