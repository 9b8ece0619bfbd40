"""What a transaction leaves with its idempotency key."""


class Kept:
    """The answer of the first transaction that commits with a key; made by `Transaction.keep`.

    True once the transaction has committed: before that it is what this run would leave.

    Attributes:
        result: What is kept with the key: of this transaction, or of the earlier one.
        repeated: An earlier transaction had committed with the key: this one applied nothing.
    """

    __slots__ = ("repeated", "result")

    def __init__(self, result: bytes) -> None:
        self.result = result
        self.repeated = False

    def repeat(self, result: bytes) -> None:
        """Take what an earlier transaction had kept."""
        self.result, self.repeated = result, True
