"""What the tests of the session share: sessions with a journal."""

from functools import partial

import pytest

from cometflux import open_session


@pytest.fixture
def opened(service, tmp_path):
    """Open sessions with a journal in the test's folder: ``async with opened(reseed=1) as session``."""
    return partial(open_session, api_key=service.key, base_url=service.url, journal=tmp_path)
