"""What there is in the shop and what customers do with it. Pure: the same seed gives the same, in the same order."""

import random
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count

LINES_A_CART_MAX = 3
PIECES_A_LINE_MAX = 3
TRANSFER_SHARE = 0.05
"""One step in twenty moves money between two customers; the others fill a cart and check out."""
TRANSFER_CENTS_MAX = 2_000


@dataclass(frozen=True)
class Item:
    """One item on sale."""

    seller: str
    product: str
    price_cents: int
    initial: int


@dataclass(frozen=True)
class Wish:
    """So many pieces of one item."""

    item: Item
    qty: int


@dataclass(frozen=True)
class Population:
    """Who and what there is at the start.

    Attributes:
        carts: Customer -> what is in the cart.
    """

    carts: Mapping[str, tuple[Wish, ...]]
    items: tuple[Item, ...]
    balance_cents: int

    @property
    def customers(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(self.carts)


@dataclass(frozen=True)
class Purchase:
    """Put these into the cart and check out; `is_filled`: they are in it since the start."""

    customer: str
    wishes: tuple[Wish, ...]
    is_filled: bool = False


@dataclass(frozen=True)
class Gift:
    """Move money from one customer to another."""

    transfer_id: str
    payer: str
    payee: str
    amount_cents: int


Step = Purchase | Gift


class Zipf:
    """Chooses 0 to n - 1, the first ones most often: number k with weight 1 / (k + 1) ** skew."""

    def __init__(self, n: int, skew: float) -> None:
        self._sums = list(accumulate(1 / (k + 1) ** skew for k in range(n)))

    def choose(self, chance: random.Random) -> int:
        """Return one of them."""
        return min(bisect(self._sums, chance.random() * self._sums[-1]), len(self._sums) - 1)


@dataclass(frozen=True)
class Skew:
    """How much more often the first customers come, and the first items are bought; 0 = all alike."""

    customers: float = 0.75
    items: float = 0.9


def populate(
    seed: int, *, customers: int = 1_000, products: int = 100, sellers: int = 10, pieces: int = 400
) -> Population:
    """Return a population; the seed decides prices and carts, and `pieces` of each item are there at the start."""
    chance = random.Random(f"population {seed}")
    items = tuple(
        Item(f"s{number % sellers}", f"p{number}", chance.randrange(100, 5_000), pieces) for number in range(products)
    )
    popular = Zipf(products, Skew().items)
    carts = {f"c{number}": _wishes(items, popular, chance) for number in range(customers)}
    return Population(carts, items, balance_cents=10_000_000)


def shopping(seed: int, population: Population, skew: Skew, *, are_carts_full: bool = True) -> Iterator[Step]:
    """Yield the steps of all customers together, for ever; clients take them in turn.

    Args:
        seed: Decides everything.
        population: Whose steps.
        skew: Who comes most, and what is bought most.
        are_carts_full: Every customer's first visit finds the cart as the population has it.
    """
    chance = random.Random(f"shopping {seed}")
    customers, items = Zipf(len(population.carts), skew.customers), Zipf(len(population.items), skew.items)
    names = population.customers
    full = set(names) if are_carts_full else set()
    for number in count(1):
        customer = names[customers.choose(chance)]
        if chance.random() < TRANSFER_SHARE and len(names) > 1:
            yield _gift(f"t{seed}-{number}", customer, names, chance)
        elif customer in full:
            full.remove(customer)
            yield Purchase(customer, population.carts[customer], is_filled=True)
        else:
            yield Purchase(customer, _wishes(population.items, items, chance))


def _gift(transfer_id: str, payer: str, customers: Sequence[str], chance: random.Random) -> Gift:
    payee = chance.choice([customer for customer in customers if customer != payer])
    return Gift(transfer_id, payer, payee, chance.randint(1, TRANSFER_CENTS_MAX))


def _wishes(items: Sequence[Item], popular: Zipf, chance: random.Random) -> tuple[Wish, ...]:
    chosen = {popular.choose(chance) for _ in range(chance.randint(1, LINES_A_CART_MAX))}
    return tuple(Wish(items[number], chance.randint(1, PIECES_A_LINE_MAX)) for number in sorted(chosen))
