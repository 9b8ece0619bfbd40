"""What most tests of a DBTM begin with."""

import pytest

from tests.unit.dbtm.rig import Rig


@pytest.fixture
def rig() -> Rig:
    """A leader that serves."""
    rig = Rig()
    rig.serve()
    return rig
