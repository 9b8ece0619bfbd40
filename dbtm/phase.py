"""Where a DBTM is on its way to serve; the drawing is `dbtm.machine`'s."""

from enum import StrEnum


class Phase(StrEnum):
    """One step of it."""

    OPENING = "opening"
    CLAIMING = "claiming"
    FENCING = "fencing"
    MERGING = "merging"
    SERVING = "serving"
    FOLLOWING = "following"
    RESIGNING = "resigning"


TAKING_OVER = (Phase.CLAIMING, Phase.FENCING, Phase.MERGING)
READING = (Phase.SERVING, Phase.FOLLOWING)
"""The phases in which the durable fold is at hand and goes on: a standby answers reads from it as a leader does."""
LEADING = (Phase.FENCING, Phase.MERGING, Phase.SERVING, Phase.RESIGNING)
"""The phases in which the newest epoch of the log is this process's."""
