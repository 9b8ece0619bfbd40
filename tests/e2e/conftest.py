"""Deployments that several tests share: what a test does to one must leave it serving."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import ROLES, Deployment


@pytest.fixture(scope="session")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All roles in one process."""
    deployment = Deployment(tmp_path_factory.mktemp("dev"))
    try:
        deployment.start_dev()
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A process for each of `ROLES`."""
    deployment = Deployment(tmp_path_factory.mktemp("processes"))
    try:
        deployment.serve(*ROLES)
        deployment.until_serving()
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Deployment]:
    """A deployment of the test's own, not started."""
    deployment = Deployment(tmp_path / "own")
    yield deployment
    deployment.stop()
