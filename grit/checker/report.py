"""What a check says: findings, a verdict, and how both are printed."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from grit.core.ids import Key
from grit.core.keys import decode_key


class Verdict(StrEnum):
    """UNKNOWN: nothing was found, but not everything that should be looked at could be."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"


EXIT_STATUS: Mapping[Verdict, int] = {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.UNKNOWN: 2}
"""3 is for usage and environment: no report was made."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One violation, with all that is needed to look it up.

    Attributes:
        property: W0 to W9 of the white box, or the id of an application rule.
        kind: What is wrong, in one word or two; stable.
        message: What is wrong, in one sentence.
        log: `gtl` or `dbtl.<realm>`; "" where no log is to blame.
        offset: In that log; -1 = does not apply. `lsn`, `csn`: likewise 0.
        key: `realm.collection/(key)`.
        expected, found: In words, or as the rows.
    """

    property: str
    kind: str
    message: str
    log: str = ""
    offset: int = -1
    lsn: int = 0
    csn: int = 0
    txid: str = ""
    key: str = ""
    expected: str = ""
    found: str = ""

    def text(self) -> str:
        """Return the finding as a line and its indented details."""
        places = (
            ("log", self.log),
            ("offset", str(self.offset) if self.offset >= 0 else ""),
            ("Lsn", str(self.lsn or "")),
            ("Csn", str(self.csn or "")),
            ("transaction", self.txid),
            ("key", self.key),
        )
        where = ", ".join(f"{name} {value}" for name, value in places if value)
        lines = [f"{self.property} {self.kind}: {self.message}", f"    at {where}" if where else ""]
        lines += [
            f"    {name}: {value}" for name, value in (("expected", self.expected), ("found", self.found)) if value
        ]
        return "\n".join(line for line in lines if line)


class Report(msgspec.Struct, frozen=True):
    """The outcome of one check.

    Attributes:
        check: `log`, `state` or `app`.
        transactions: How many committed transactions were looked at.
        findings: In order of log and offset.
        gaps: Each a sentence: what could not be looked at. With one, and no finding, the verdict is UNKNOWN.
        notes: What is no violation, but good to know, such as transactions in progress.
        coverage: Numbers: how much of what was looked at.
    """

    check: str
    transactions: int
    findings: tuple[Finding, ...] = ()
    gaps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    coverage: Mapping[str, int] = {}

    @property
    def verdict(self) -> Verdict:
        """VALID only if something was looked at and nothing left out."""
        if self.findings:
            return Verdict.INVALID
        return Verdict.UNKNOWN if self.gaps or not self.transactions else Verdict.VALID

    @property
    def exit_status(self) -> int:
        """Return the exit status of `grit check`."""
        return EXIT_STATUS[self.verdict]

    def text(self) -> str:
        """Return the report for people; its last line is the verdict."""
        lines = [finding.text() for finding in self.findings]
        lines += [f"not looked at: {gap}" for gap in self.gaps]
        lines += [f"note: {note}" for note in self.notes]
        if not self.transactions and not self.findings:
            lines.append("not looked at: there is no committed transaction, so nothing follows")
        return "\n".join([*lines, f"{self.verdict} {self.transactions} transactions {len(self.findings)} findings"])

    def json(self) -> bytes:
        """Return the report as JSON."""
        is_valid = {Verdict.VALID: True, Verdict.INVALID: False}.get(self.verdict, "unknown")
        return msgspec.json.encode(
            {
                "check": self.check,
                "valid": is_valid,
                "verdict": self.verdict,
                "transactions": self.transactions,
                "findings": self.findings,
                "gaps": self.gaps,
                "notes": self.notes,
                "coverage": self.coverage,
            }
        )


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings by log and offset; of one place in the order in which they were made."""
    return tuple(sorted(findings, key=lambda finding: (finding.log, finding.offset)))


def key_text(realm: str, collection: str, key: Key) -> str:
    """Return how a record is called: `orders.stock/(s1,p9)`."""
    try:
        components = ",".join(str(component) for component in decode_key(key))
    except (ValueError, IndexError):
        components = f"not a key: {key.hex()}"
    return f"{realm}.{collection}/({components})"
