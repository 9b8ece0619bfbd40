"""How much is measured."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How long, how often, and where.

    Attributes:
        folder: Empty; databases and logs of the run go there.
        is_quick: The reduced run of `make bench`.
    """

    folder: Path
    is_quick: bool

    @property
    def load_s(self) -> float:
        """Seconds of load that are measured, for each point."""
        return 4.0 if self.is_quick else 20.0

    @property
    def warm_up_s(self) -> float:
        """Seconds of load before that."""
        return 1.5 if self.is_quick else 5.0

    def pick(self, quick: int, full: int) -> int:
        """Return how many, by the kind of run."""
        return quick if self.is_quick else full

    def new_folder(self, name: str) -> Path:
        """Make and return a folder of the run."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder
