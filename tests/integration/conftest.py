"""What holds for every test on real engines."""

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def bury_sockets() -> Iterator[None]:
    """Kafka's driver forgets to close what it opened for a client that it then does not make."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
