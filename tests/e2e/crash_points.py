"""The crash matrix as a table: who dies, or is stopped, where (faults.md section 2).

Each replica that shall die is started with its failpoints as a standby and then made to lead, so that its take-over too
passes them. What ends the leader before it is part of the point: a leader that is told to stop hands over at once, one
that is killed is missed only after the election time-out.
"""

import signal
from dataclasses import dataclass

from grit.runtime.failpoints import EXIT_STATUS

KILLED = -signal.SIGKILL
BUG = EXIT_STATUS
"""An exception that nobody expects ends a process as a bug: with what it had sent, and without what came after."""


@dataclass(frozen=True)
class Point:
    """One accident.

    Attributes:
        what: For people.
        role: Whose process: one of two that may lead, or the only one.
        at: Its failpoints, as `GRIT_FAILPOINTS`; with the action `stop` it becomes a zombie and comes back.
        status: With which it ends.
        ends: What ends the leader before it.
        successor: Failpoints of the replica that takes over from it.
    """

    what: str
    role: str
    at: str
    status: int = KILLED
    ends: signal.Signals = signal.SIGTERM
    successor: str = ""

    @property
    def is_stop(self) -> bool:
        return "=stop" in self.at

    @property
    def is_taking_over(self) -> bool:
        return self.ends == signal.SIGKILL


GTM, DBTM, PLAYER, SIDECAR = "gtm", "dbtm orders", "player orders", "sidecar"

LED = (
    Point("GTM before append", GTM, "gtm.before_append.Commits=kill@8"),
    Point("GTM after append, before it knows", GTM, "gtm.after_append.Commits=kill@8"),
    Point("GTM after append, before answer", GTM, "gtm.before_OutcomeAnswered=kill@8"),
    Point("GTM after answer, before push", GTM, "gtm.before_Decided=error@30", status=BUG),
    Point("GTM taking over, before its claim", GTM, "gtm.before_append.GtmEpoch=kill", ends=signal.SIGKILL),
    Point("GTM taking over, its claim in the log", GTM, "gtm.after_append.GtmEpoch=kill", ends=signal.SIGKILL),
    Point("GTM taking over, before it greets", GTM, "gtm.before_GtmHello=kill", ends=signal.SIGKILL),
    Point("GTM between the votes of a round", GTM, "gtm.before_VoteAsked=kill@8"),
    Point("DBTM after certify, before append", DBTM, "dbtm.before_append.Entries=kill@8"),
    Point("DBTM after append, before it knows", DBTM, "dbtm.after_append.Entries=kill@8"),
    Point("DBTM after append, before answer", DBTM, "dbtm.before_OutcomeAnswered=kill@4"),
    Point("DBTM after certify, before its votes", DBTM, "dbtm.before_Votes=kill@8"),
    Point("DBTM taking over, before its claim", DBTM, "dbtm.before_append.DbtmEpoch=kill", ends=signal.SIGKILL),
    Point("DBTM between DBTL and FENCE", DBTM, "dbtm.before_append.Fence=kill", ends=signal.SIGKILL),
    Point("DBTM, its FENCE in the log", DBTM, "dbtm.after_append.Fence=kill", ends=signal.SIGKILL),
    Point(
        "DBTM while merging, before append", DBTM, "dbtm.before_append.Entries=kill@8",
        successor="dbtm.before_append.Entries=kill",
    ),
    Point(
        "DBTM while merging, after append", DBTM, "dbtm.before_append.Entries=kill@8",
        successor="dbtm.after_append.Entries=kill",
    ),
    Point("two GTMs, one with a record that it has not appended", GTM, "gtm.before_append.Commits=stop@8"),
    Point("two DBTMs, one with a record that it has not appended", DBTM, "dbtm.before_append.Entries=stop@8"),
    Point(
        "two DBTMs, one between DBTL and FENCE", DBTM, "dbtm.before_append.Fence=stop", ends=signal.SIGKILL,
    ),
)  # fmt: skip

ALONE = (
    Point("player before the transaction", PLAYER, "player.before_apply=kill@5"),
    Point("player between rows and commit", PLAYER, "store.before_commit=kill@5"),
    Point("player after commit, before it notes it", PLAYER, "player.after_apply=kill@5"),
    Point("two players, one with a batch", PLAYER, "player.before_apply=stop@5"),
    Point("sidecar with open transactions", SIDECAR, "sidecar.after_ReadAsked=kill@12"),
    Point("sidecar after commit sent to the GTM", SIDECAR, "sidecar.after_SubmitAsked=kill@8"),
    Point("sidecar after commit sent to a DBTM", SIDECAR, "sidecar.after_CommitAsked=kill@8"),
)

POWER_CUT = Point("everything at once", "all", "SIGKILL")
SERVICE = Point("called service between two calls", "service", "client.after_execute=kill@9")

CLIENT = (
    Point("client with an open transaction", "client", "client.after_execute=kill@9"),
    Point("client after commit sent", "client", "client.after_commit=kill@9"),
)
