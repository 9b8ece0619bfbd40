"""Text files that a user names: a configuration, rules."""

from pathlib import Path

from grit.core.errors import ConfigError


def read_text_file(path: Path, *, bytes_max: int, too_large: str, absent: str = "") -> str:
    """Return the text of a file.

    Args:
        path: Of a file; of a pipe it may be too.
        bytes_max: A larger file is refused unread.
        too_large: What the error says of such a file.
        absent: What the error says of a file that does not exist, "" = what the system says.

    Raises:
        ConfigError: It cannot be read: "path: what".
    """
    try:
        if path.is_file() and path.stat().st_size > bytes_max:
            raise ConfigError(f"{path}: larger than {bytes_max:,} bytes: {too_large}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        said = absent if absent and isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise ConfigError(f"{path}: {said}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text, at byte {error.start:,}") from error
