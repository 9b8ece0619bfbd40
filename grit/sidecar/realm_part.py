"""What a transaction has read and written in one realm, while it is open."""

from collections.abc import Iterable

from grit.core.catalog import RealmDef
from grit.core.ids import Csn, Lsn
from grit.core.parts import Act, KeyRead, Part, Read, Write, decode_changes
from grit.sidecar.writes import WriteBuffer


class RealmPart:
    """The part to be, with its position: the Lsn at which everything read is exact.

    Args:
        realm: Whose.
        past: No position lies below that one.

    Attributes:
        position: 0 before the first read.
        csn: The newest global that is known to show at the position.
        is_placed: The realm has its position on the cut of a snapshot transaction.
        buffer: The own writes.
    """

    def __init__(self, realm: RealmDef, past: Lsn) -> None:
        self.realm = realm.name
        self.position = Lsn(0)
        self.csn = Csn(0)
        self.is_placed = False
        self._past = past
        self.buffer = WriteBuffer(realm.name, {name: one.bounds for name, one in realm.collections.items()})
        self._read_bytes = 0
        self._reads: dict[Read, None] = {}

    @property
    def reads(self) -> tuple[Read, ...]:
        """Return what was read, each once, in order of first look."""
        return tuple(self._reads)

    @property
    def is_read(self) -> bool:
        """Tell whether anything was read, so that the position holds."""
        return self.is_placed or bool(self._reads)

    @property
    def wanted(self) -> Lsn:
        """Return the position that the next read must not be answered below."""
        return self.position if self.is_read else self._past

    @property
    def keys(self) -> int:
        """Return how much of the limit of keys per realm is used."""
        return len(self._reads) + len(self.buffer)

    @property
    def bytes(self) -> int:
        """Return about how much the part weighs."""
        return self._read_bytes + self.buffer.bytes

    @property
    def is_touched(self) -> bool:
        """Tell whether the realm takes part in the commit."""
        return self.keys > 0 or self.is_placed

    def place(self, position: Lsn, csn: Csn) -> None:
        """Fix the position on a cut."""
        assert not self.is_placed or position == self.position
        self.position, self.csn, self.is_placed = position, csn, True

    def note(self, reads: Iterable[Read]) -> None:
        """Remember what was looked at."""
        for read in reads:
            if read not in self._reads and not self._is_covered(read):
                self._reads[read] = None
                self._read_bytes += len(read.collection) + 8 + len(_bytes_of(read))

    def part(self) -> Part:
        """Return what is certified at commit: what was read, of a snapshot what it writes, as if it had read that.

        So whoever else wrote it since is noticed, and what a snapshot only read may have changed.
        """
        writes = self.buffer.writes()
        reads = tuple(read for write in writes for read in _reads_of(write)) if self.is_placed else self.reads
        return Part(self.position, reads, writes)

    def _is_covered(self, read: Read) -> bool:
        return (
            isinstance(read, KeyRead)
            and read.fields is not None
            and KeyRead(read.collection, read.key, None) in self._reads
        )


def _reads_of(write: Write) -> tuple[KeyRead, ...]:
    """Return what must not have been written since, for a write to be the first: increments follow each other in any order."""
    if write.act != Act.CHANGE:
        return (KeyRead(write.collection, write.key),)
    fields = tuple(sorted(decode_changes(write.fields)))
    return (KeyRead(write.collection, write.key, fields),) if fields else ()


def _bytes_of(read: Read) -> bytes:
    return read.key if isinstance(read, KeyRead) else read.where
