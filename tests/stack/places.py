"""Where the stack lies: in the user's cache folder, outside of every repository.

<cache>/grit/stack/          or the folder that GRIT_STACK_HOME names
    lock                     held while a command changes something
    engines/<name>-<version> what was downloaded and unpacked: stays until it is deleted by hand
    run/stack.json           what is up: members, ports, users
    run/<member>/            data, settings and output of one process: gone after `down`
"""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.stack.errors import StackError


@dataclass(frozen=True)
class Places:
    """The folders of one user's stack."""

    home: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Places":
        """Return the places that an environment asks for."""
        named = environ.get("GRIT_STACK_HOME")
        if named:
            return cls(Path(named).absolute())
        cache = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".cache")
        return cls(Path(cache) / "grit" / "stack")

    @property
    def engines(self) -> Path:
        """Return where unpacked engines lie."""
        return self.home / "engines"

    @property
    def run(self) -> Path:
        """Return where running processes keep what they write."""
        return self.home / "run"

    @property
    def state(self) -> Path:
        """Return the file that says what is up."""
        return self.run / "stack.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the stack against other commands of this user; wait for them.

        Raises:
            StackError: The folder cannot be made.
        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            file = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StackError(f"{self.home}: {error.strerror}; name another folder in GRIT_STACK_HOME") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)
