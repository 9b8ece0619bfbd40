"""The remedy for a misspelt name."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown_name(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the likeliest spelling, else what there is.

    At most 12 names are listed, sorted.
    """
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    if not names:
        return "; there is none"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; there is {listed}"
