"""The pytest plugin with the fixture ``comet_service``. Installing cometflux registers it.

.. code-block:: python

    from cometflux import flux, open_session

    async def test_two_pictures_cost_two_bills(comet_service):
        async with open_session(api_key=comet_service.key, base_url=comet_service.url) as session:
            await session.run(flux.Schnell(prompt="a lighthouse"))
            await session.run(flux.Schnell(prompt="a paper boat"))
        assert 2 == len(comet_service.bills)

Pytest imports this module at every start, so the service is imported only when the fixture is used.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cometflux.testing.service import LocalService


@pytest.fixture
def comet_service() -> "Iterator[LocalService]":
    """Run a local service on its own thread. Its pictures are small, and each is ready after 0.02 seconds.

    It has ``url``, ``key``, ``bills`` (one for each accepted submission), ``fail(fault)``, ``latency``, and a clock
    that can be frozen and advanced; see `cometflux.testing.LocalService`. Needs ``pip install "cometflux[local]"``.
    """
    from cometflux.testing.service import LocalService

    with LocalService.in_thread(key="local-key", latency=0.02, pixels=4096) as service:
        yield service
