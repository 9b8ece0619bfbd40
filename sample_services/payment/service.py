"""Money: accounts, a ledger and what was paid, in the realm `payment`.

Every movement is a row in the ledger for each side; those of one transaction sum to 0. A customer's balance is kept too, as a
bounded increment. The platform takes part in every payment, so it has no balance to fight for: its rows are its account.
"""

from grit.client import Client, Transaction
from sample_services.failures import Context, Failure, Refused
from sample_services.pb.v1 import payment_pb2 as pb
from sample_services.pb.v1 import payment_pb2_grpc

ACCOUNTS, LEDGER, PAYMENTS = "payment.account", "payment.ledger", "payment.payments"
PLATFORM = "platform"


class PaymentService(payment_pb2_grpc.PaymentServicer):
    """The API of the payment service."""

    def __init__(self, db: Client) -> None:
        self._db = db

    async def OpenAccounts(self, request: pb.OpenAccountsRequest, context: Context) -> pb.OpenAccountsResponse:
        """Give new customers an account."""

        @self._db.transactional()
        async def open_accounts(txn: Transaction) -> None:
            for account in request.accounts:
                cents = account.initial_cents
                row = {"customer": account.customer, "initial_cents": cents, "balance_cents": cents}
                await txn.insert(ACCOUNTS, row)

        await open_accounts()
        return pb.OpenAccountsResponse()

    async def PayOrder(self, request: pb.PayOrderRequest, context: Context) -> pb.PayOrderResponse:
        """Move the price of an order from the customer to the platform."""
        txn = self._db.joined()
        amount = request.amount_cents
        await _expect_account(txn, request.customer)
        await txn.increment(ACCOUNTS, request.customer, "balance_cents", -amount)
        await _enter(txn, request.order_id, {request.customer: -amount, PLATFORM: amount})
        payment = {"order_id": request.order_id, "customer": request.customer, "amount_cents": amount}
        await txn.insert(PAYMENTS, payment)
        return pb.PayOrderResponse()

    async def MoveMoney(self, request: pb.MoveMoneyRequest, context: Context) -> pb.MoveMoneyResponse:
        """Move money between two customers."""
        txn = self._db.joined()
        if request.payer == request.payee or request.amount_cents <= 0:
            raise Refused(Failure.BAD_REQUEST, "a transfer moves more than nothing, from one customer to another")
        for customer, amount in ((request.payer, -request.amount_cents), (request.payee, request.amount_cents)):
            await _expect_account(txn, customer)
            await txn.increment(ACCOUNTS, customer, "balance_cents", amount)
        amounts = {request.payer: -request.amount_cents, request.payee: request.amount_cents}
        await _enter(txn, request.transfer_id, amounts)
        return pb.MoveMoneyResponse()


async def _expect_account(txn: Transaction, customer: str) -> None:
    if await txn.get(ACCOUNTS, customer, fields=["customer"]) is None:
        raise Refused(Failure.UNKNOWN_CUSTOMER, f"{customer!r} has no account")


async def _enter(txn: Transaction, name: str, amounts: dict[str, int]) -> None:
    for account, amount in amounts.items():
        await txn.insert(
            LEDGER, {"entry": f"{name}/{account}", "txn": name, "account": account, "amount_cents": amount}
        )
