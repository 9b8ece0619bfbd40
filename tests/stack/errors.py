"""What a person at the keyboard is told, in one line."""


class StackError(Exception):
    """Something cannot be had or done; the message says what, why, and the remedy."""
