"""What both kinds of log share for a checker: identity, epochs, dense numbers, and traces of tampering.

Void records are lawful: zombies write them. What is told apart here is what no lawful run can leave behind:

- a record with entries that lies in the log twice, byte by byte;
- an epoch that is not one above the epoch before it, or that nobody claimed;
- a *hole*: records of the current epoch that do not go on where the log stands. The leader that lost an append claims a
  new epoch as soon as it sees that; so a hole that stays open means that a record is missing or moved;
- an *unled epoch*: the log's newest epoch shows no sign of life, while an older one goes on writing.
"""

import hashlib

from grit.checker.report import Finding
from grit.core.ids import Epoch, Offset
from grit.core.records import FORMAT, Genesis

PATIENCE_MS = 10_000
"""How long a live leader may need to react, by the times in its records."""


class Leadership:
    """Follows the epochs of one log and collects findings.

    Args:
        log: Its name, for findings.
        realm: What its GENESIS must say; "" for the GTL.
        numbers: "Lsn" or "Csn".
        is_quiesced: Nothing is in progress: whoever had to react has done so.
    """

    def __init__(self, log: str, realm: str, numbers: str, *, is_quiesced: bool) -> None:
        self.log = log
        self.log_id = ""
        self.epoch = Epoch(0)
        self.next = 1
        self.now = 0
        self.findings: list[Finding] = []
        self._realm = realm
        self._numbers = numbers
        self._patience_ms = -1 if is_quiesced else PATIENCE_MS
        self._payloads: dict[bytes, Offset] = {}
        self._claimed_at = 0
        self._is_led = False
        self._older: tuple[Offset, Epoch, int] | None = None
        self._older_count = 0
        self._hole: tuple[Offset, int, int] | None = None
        self._hole_ms = 0

    def find(
        self, property_: str, kind: str, message: str, offset: int, *, expected: str = "", found: str = ""
    ) -> None:
        """Note a finding in this log."""
        self.findings.append(
            Finding(property_, kind, message, log=self.log, offset=offset, expected=expected, found=found)
        )

    def genesis(self, offset: Offset, record: object) -> None:
        """Judge the first record. Later GENESIS records are void: two processes may have begun a log at once."""
        if offset != 0:
            return
        if not isinstance(record, Genesis):
            self.find("W0", "no genesis", "the log does not begin with GENESIS: its start is cut, or it is no log", 0)
            return
        self.log_id = record.log_id
        if record.realm != self._realm or record.format != FORMAT:
            self.find(
                "W0",
                "wrong genesis",
                "the first record is of another log or format",
                0,
                expected=f"realm {self._realm!r}, format {FORMAT}",
                found=f"realm {record.realm!r}, format {record.format}",
            )

    def begin(self, log_id: str, epoch: Epoch, number: int, now: int) -> None:
        """Begin at a checkpoint of a log that was cut, instead of at its GENESIS."""
        self.log_id, self.epoch, self.next, self.now = log_id, epoch, number, now
        self._claimed_at = now
        self._is_led = True

    def claim(self, offset: Offset, epoch: Epoch, time: int) -> bool:
        """Follow a claim; tell whether it is valid."""
        if epoch <= self.epoch:
            return False
        if epoch != self.epoch + 1:
            self.find(
                "W9",
                "forged epoch",
                "a leader claims one above the newest epoch, nobody else may",
                offset,
                expected=f"epoch {self.epoch + 1}",
                found=f"epoch {epoch}",
            )
        self.epoch, self._claimed_at, self._is_led = epoch, time, False
        self._older = self._hole = None
        self._older_count = 0
        self.now = max(self.now, time)
        return True

    def numbered(self, offset: Offset, epoch: Epoch, first: int, time: int, count: int, payload: bytes) -> bool:
        """Follow a record of a leader with numbers; tell whether it is valid."""
        if count:
            self._look_for_twin(offset, payload)
        self._older_count += epoch < self.epoch
        if not self.led(offset, epoch, time):
            return False
        if first != self.next:
            self._hole = self._hole or (offset, first, time)
            self._hole_ms = time - self._hole[2]
            return False
        self.next += count
        self.now = max(self.now, time)
        return True

    def led(self, offset: Offset, epoch: Epoch, time: int) -> bool:
        """Follow a record of a leader; tell whether its epoch counts."""
        if epoch > self.epoch:
            self.find("W9", "forged epoch", "a record of an epoch that nobody claimed", offset, found=f"epoch {epoch}")
        if epoch < self.epoch:
            self._older = (offset, epoch, time)
        leads = epoch == self.epoch and epoch > 0
        self._is_led = self._is_led or leads
        return leads

    def end(self) -> None:
        """Judge what the end of the log leaves open."""
        if self._hole is not None and self._hole_ms > self._patience_ms:
            offset, first, _ = self._hole
            self.find(
                "W0",
                "hole",
                f"records of the current epoch do not go on where the log stands: a record before offset {offset} is "
                "lost or moved, and everything since is void",
                offset,
                expected=f"first {self._numbers} {self.next}",
                found=f"first {self._numbers} {first}",
            )
        # One record may have been under way when the epoch was claimed, and land after it, lawfully, however quiet it is now.
        is_going_on = self._older_count > 1
        if (
            self._older is not None
            and is_going_on
            and not self._is_led
            and self._older[2] - self._claimed_at > self._patience_ms
        ):
            offset, epoch, _ = self._older
            self.find(
                "W9",
                "forged epoch",
                f"epoch {self.epoch} was claimed and never led, while epoch {epoch} went on and is void",
                offset,
                expected=f"records of epoch {self.epoch}",
                found=f"a record of epoch {epoch}",
            )

    def _look_for_twin(self, offset: Offset, payload: bytes) -> None:
        digest = hashlib.blake2b(payload, digest_size=16).digest()
        twin = self._payloads.setdefault(digest, offset)
        if twin != offset:
            self.find("W0", "doubled", f"the same record lies at offset {twin}", offset)
