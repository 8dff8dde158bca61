"""What the tests of the teacher share."""

import pytest

from helpers import teacher


@pytest.fixture(scope="module")
def quick():
    """An offline teacher without limits worth mentioning and without faults."""
    with teacher.OfflineTeacher(minute=0.6, requests_per_minute=100_000, latency=(0.5, 1.5)) as server:
        yield server
