"""What customers do is decided by the seed, and skewed as asked."""

import random
from collections import Counter
from itertools import islice

from sample_services.load.shopping import Gift, Population, Purchase, Skew, Step, Zipf, populate, shopping


def people(seed: int = 1) -> Population:
    return populate(seed, customers=50, products=20, sellers=4, pieces=100)


def steps(seed: int, count: int = 500, skew: Skew | None = None) -> list[Step]:
    return list(islice(shopping(seed, people(), skew or Skew()), count))


def test_the_same_seed_gives_the_same_steps_in_the_same_order() -> None:
    assert steps(7) == steps(7)


def test_another_seed_gives_other_steps() -> None:
    assert steps(7) != steps(8)


def test_the_same_seed_gives_the_same_population() -> None:
    assert people(3) == people(3)
    assert people(3) != people(4)


def test_every_step_is_about_customers_and_items_that_there_are() -> None:
    population = people()
    for step in steps(1):
        if isinstance(step, Gift):
            assert {step.payer, step.payee} <= set(population.customers)
            assert step.payer != step.payee
        else:
            assert step.customer in population.customers
            assert {wish.item for wish in step.wishes} <= set(population.items)


def test_a_cart_has_each_item_once() -> None:
    for step in steps(2):
        if isinstance(step, Purchase):
            products = [wish.item.product for wish in step.wishes]
            assert len(products) == len(set(products)) > 0


def test_the_first_visit_of_a_customer_finds_the_cart_of_the_population() -> None:
    population, seen = people(), set[str]()
    for step in steps(2):
        if isinstance(step, Purchase):
            assert step.is_filled == (step.customer not in seen)
            assert not step.is_filled or step.wishes == population.carts[step.customer]
            seen.add(step.customer)
    assert len(seen) > 10


def test_carts_that_are_not_full_are_filled_by_every_purchase() -> None:
    bought = islice(shopping(1, people(), Skew(), are_carts_full=False), 200)
    assert not any(step.is_filled for step in bought if isinstance(step, Purchase))


def test_transfers_have_names_of_their_own() -> None:
    names = [step.transfer_id for step in steps(3, 2_000) if isinstance(step, Gift)]
    assert len(names) == len(set(names)) > 10


def test_the_first_customers_come_most_often_when_skewed_and_not_otherwise() -> None:
    def visits(skew: float) -> Counter[str]:
        bought = steps(4, 5_000, Skew(customers=skew))
        return Counter(step.customer for step in bought if isinstance(step, Purchase))

    skewed, even = visits(0.99), visits(0.0)
    assert skewed["c0"] > 5 * skewed["c40"]
    assert even["c0"] < 2 * even["c40"]


def test_zipf_chooses_every_number_and_none_beyond() -> None:
    chance, zipf = random.Random(1), Zipf(5, 1.0)
    assert {zipf.choose(chance) for _ in range(2_000)} == {0, 1, 2, 3, 4}
