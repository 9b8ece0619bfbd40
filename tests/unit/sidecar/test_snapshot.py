"""A session that reads on a cut: what it asks, of whom, and when it gives up."""

from grit.core.errors import Code, Kind
from grit.core.ids import Csn, Lsn
from grit.core.messages import Declined, ReadAsked, ValidateAsked, Within
from grit.core.operations import Get, Increment, Operation, Patch, Put, RowResult, SessionToken
from grit.core.parts import KeyRead
from grit.sidecar.asking import LAG_WAIT_MS
from grit.sidecar.cut import NEWEST
from grit.sidecar.events import Answered, AskRealm
from tests.unit.sidecar.deployment import MemoryDeployment
from tests.unit.sidecar.home import BEGAN, Home, everything, nothing
from tests.unit.sidecar.shop import BASKET, CARTS, CATALOGUE, ITEMS, STOCK, item, key

BEHIND_MS = 2_000
STOCKED, CARTED = Get(STOCK, ITEMS, key(1), ("price",)), Get(BASKET, CARTS, key("ann"), ("total",))


def deployment() -> MemoryDeployment:
    """Return realms in which globals 1 to 3 have each written their Csn to an item and a cart."""
    realms = MemoryDeployment(CATALOGUE)
    for csn in (1, 2, 3):
        spread(realms, csn)
    return realms


def spread(realms: MemoryDeployment, csn: int) -> None:
    """Commit a global."""
    realms["stock"].spread(csn, "items", {key(1): item(1, price=csn)})
    realms["basket"].spread(csn, "carts", {key("ann"): {"owner": "ann", "total": csn}})


def uneven() -> MemoryDeployment:
    """Return realms of which one has not got the last global yet."""
    realms = deployment()
    realms["basket"].spread(4, "carts", {key("ann"): {"owner": "ann", "total": 4}})
    return realms


def reader(realms: MemoryDeployment, past: SessionToken | None = None) -> Home:
    """Begin a snapshot."""
    return Home(realms, read_only=True, snapshot=True, past=past)


def values(home: Home, *operations: Operation) -> list[int]:
    """Read, and return the numbers."""
    out: list[int] = []
    for result in home.run(*operations).results:
        assert isinstance(result, RowResult)
        assert result.row is not None
        out.extend(result.row.values())
    return out


def asked(home: Home, realm: str) -> list[ReadAsked]:
    """Return every read that a realm was asked for."""
    asks = [ask for ask in home.asked if isinstance(ask, AskRealm) and ask.realm == realm]
    return [ask.message for ask in asks if isinstance(ask.message, ReadAsked)]


def test_any_replica_may_answer_and_nobody_is_asked_to_confirm() -> None:
    home = reader(deployment())
    assert values(home, STOCKED, CARTED) == [3, 3]
    home.commit()
    assert all(isinstance(ask, AskRealm) and ask.anywhere for ask in home.asked)
    assert not [ask for ask in home.asked if isinstance(ask.message, ValidateAsked)]


def test_a_realm_that_is_ahead_is_asked_again_as_of_the_one_that_lags() -> None:
    home = reader(uneven())
    assert values(home, STOCKED, CARTED) == [3, 3]
    assert [one.within for one in asked(home, "basket")] == [Within(Csn(0), NEWEST), Within(Csn(3), Csn(3))]
    assert len(asked(home, "stock")) == 1


def test_what_the_code_has_seen_stays_whatever_is_committed_meanwhile() -> None:
    realms = deployment()
    home = reader(realms)
    assert values(home, STOCKED) == [3]
    for csn in (4, 5):
        spread(realms, csn)
    assert values(home, STOCKED, CARTED) == [3, 3]


def test_later_reads_of_a_realm_are_asked_at_its_position_exactly() -> None:
    home = reader(deployment())
    values(home, STOCKED)
    values(home, STOCKED)
    first, second = asked(home, "stock")
    assert first.within is not None
    assert second.within is not None
    assert (first.within.is_placed, second.within.is_placed, second.position) == (False, True, 3)


def test_a_position_that_is_forgotten_is_too_old() -> None:
    realms = deployment()
    home = reader(realms)
    values(home, STOCKED)
    spread(realms, 4)
    realms["stock"].oldest = 4
    error = home.failure(home.start(STOCKED))
    assert (error.code, error.message) == (
        Code.TOO_OLD,
        "realm stock no longer remembers what was written since Lsn 3",
    )


def test_a_realm_that_cannot_go_back_to_what_was_seen_is_too_old() -> None:
    realms = deployment()
    home = reader(realms)
    values(home, STOCKED)
    spread(realms, 4)
    realms["basket"].oldest = 4
    error = home.failure(home.start(CARTED))
    assert error.code == Code.TOO_OLD
    assert error.message.startswith("realm basket no longer remembers what it was at Csn 3")


def test_a_realm_of_which_nothing_was_seen_comes_forward_to_one_that_cannot_go_back() -> None:
    realms = uneven()
    realms["basket"].oldest = 4
    home = reader(realms)
    home.hold = lambda _: len(asked(home, "stock")) == 2
    request = home.start(STOCKED, CARTED)
    (held,) = home.held
    assert isinstance(held.message, ReadAsked)
    assert held.message.within == Within(Csn(4), NEWEST)
    realms["stock"].spread(4, "items", {key(1): item(1, price=4)})
    home.hold = nothing
    home.release()
    assert home.is_answered(request)
    assert values(home, STOCKED, CARTED) == [4, 4]


def test_nothing_of_a_segment_is_shown_before_all_of_it_lies_on_the_cut() -> None:
    home = reader(deployment())
    home.hold = everything
    request = home.start(STOCKED, CARTED)
    home.held, kept = home.held[:1], home.held[1:]
    home.release()
    assert not home.is_answered(request)
    home.held = kept
    home.release()
    assert home.is_answered(request)


def test_the_token_of_a_snapshot_holds_its_positions_and_the_globals_that_it_showed() -> None:
    home = reader(deployment())
    values(home, STOCKED, CARTED)
    token = home.commit().token
    assert (token.lsns, token.csn) == ({STOCK: 3, BASKET: 3}, 3)


def test_an_exception_on_a_snapshot_is_true_on_its_cut() -> None:
    realms = deployment()
    home = reader(realms)
    values(home, STOCKED)
    spread(realms, 4)
    assert home.rollback(validate=True).reads_valid


# --- bounded staleness ------------------------------------------------------------------------------------


def test_a_bound_on_staleness_counts_back_from_the_begin_and_goes_with_every_question() -> None:
    home = Home(uneven(), read_only=True, snapshot=True, staleness_ms=300)
    values(home, STOCKED, CARTED)
    asks = [*asked(home, "stock"), *asked(home, "basket")]
    assert len(asks) == 3
    assert {ask.within.fresh for ask in asks if ask.within is not None} == {BEGAN - 300}


def test_a_snapshot_without_a_bound_may_be_as_old_as_it_is() -> None:
    home = reader(deployment())
    values(home, STOCKED)
    assert [one.within for one in asked(home, "stock")] == [Within(Csn(0), NEWEST)]


def test_what_every_replica_is_too_far_behind_for_is_lagging_and_may_be_tried_again() -> None:
    home = Home(deployment(), read_only=True, snapshot=True, staleness_ms=300)
    home.hold = everything
    request = home.start(STOCKED)
    text = "realm stock has not reached what is known to be as new as asked for in 2 s"
    for waited in range(0, LAG_WAIT_MS + BEHIND_MS, BEHIND_MS):
        assert not home.is_answered(request), waited
        held, home.held = home.held[-1], []
        home.take(Answered(Declined(held.message.id, Code.LAGGING.value, text, 200)))
        home.wait(BEHIND_MS)
    error = home.failure(request)
    assert (error.code, error.kind) == (Code.LAGGING, Kind.UNAVAILABLE)
    assert "as new as asked for" in error.message


# --- sessions ---------------------------------------------------------------------------------------------


def test_a_snapshot_of_a_session_lies_at_or_above_what_the_session_has_seen() -> None:
    home = reader(deployment(), SessionToken({STOCK: Lsn(2)}, Csn(3)))
    values(home, STOCKED, CARTED)
    (stock,), (basket,) = asked(home, "stock"), asked(home, "basket")
    assert (stock.position, stock.within) == (2, Within(Csn(3), NEWEST))
    assert (basket.position, basket.within) == (0, Within(Csn(3), NEWEST))


def test_a_realm_that_the_session_has_seen_further_does_not_go_back_below_that() -> None:
    """One realm lags, the other one's local was seen: the first comes forward, though the second remembers."""
    realms = uneven()
    home = reader(realms, SessionToken({BASKET: Lsn(4)}, Csn(0)))
    home.hold = lambda _: len(asked(home, "stock")) == 2
    home.start(STOCKED, CARTED)
    (held,) = home.held
    assert isinstance(held.message, ReadAsked)
    assert held.message.within == Within(Csn(4), NEWEST)


def test_a_session_that_reads_where_nothing_happened_has_seen_no_less_than_before() -> None:
    realms = deployment()
    realms["stock"].spread(4, "items", {key(1): item(1, price=4)})
    realms["basket"].through = Csn(4)
    home = reader(realms, SessionToken({}, Csn(4)))
    assert values(home, CARTED) == [3]
    assert home.commit().token == SessionToken({BASKET: Lsn(3)}, Csn(4))


def test_a_strict_read_of_a_session_waits_for_what_it_has_seen_too() -> None:
    home = Home(deployment(), past=SessionToken({STOCK: Lsn(3)}, Csn(3)))
    home.run(STOCKED)
    (stock,) = asked(home, "stock")
    assert (stock.position, stock.within) == (3, None)


def test_what_a_part_has_not_read_has_no_position_though_its_session_has() -> None:
    home = Home(deployment(), past=SessionToken({STOCK: Lsn(3)}, Csn(3)))
    home.run(Put(STOCK, ITEMS, item(2), key(2)))
    home.commit()
    assert home.realms["stock"].parts[-1].position == 0


def test_a_token_grows_with_reads_and_holds_the_lsn_of_a_local() -> None:
    home = Home(deployment())
    assert home.run(STOCKED).token == SessionToken({STOCK: Lsn(3)}, Csn(3))
    home.run(Put(STOCK, ITEMS, item(2), key(2)))
    assert home.commit().token == SessionToken({STOCK: Lsn(4)}, Csn(3))


def test_a_token_of_a_global_holds_its_csn() -> None:
    home = Home(deployment())
    home.run(Put(STOCK, ITEMS, item(2), key(2)), Put(BASKET, CARTS, {"owner": "bob"}, key("bob")))
    token = home.commit().token
    assert token == SessionToken({}, Csn(1))


# --- writing ----------------------------------------------------------------------------------------------


def test_a_snapshot_that_only_writes_asks_for_no_position() -> None:
    home = Home(deployment(), snapshot=True)
    home.commit(Put(STOCK, ITEMS, item(2), key(2)))
    assert not asked(home, "stock")
    assert home.realms["stock"].parts[-1].reads == ()


def test_a_snapshot_places_a_realm_that_it_only_writes_before_it_commits() -> None:
    home = Home(deployment(), snapshot=True)
    values(home, CARTED)
    home.commit(Put(STOCK, ITEMS, item(2), key(2)))
    (placing,) = asked(home, "stock")
    assert placing.queries == ()
    (part,) = home.realms["stock"].parts
    assert (part.position, part.reads) == (3, (KeyRead(ITEMS, key(2)),))


def test_a_snapshot_has_read_the_fields_that_it_patches_and_nothing_of_what_it_increments() -> None:
    home = Home(deployment(), snapshot=True)
    values(home, STOCKED)
    home.commit(Patch(STOCK, ITEMS, key(1), {"name": "pen"}), Increment(STOCK, ITEMS, key(1), "on_hand", 1))
    (part,) = home.realms["stock"].parts
    assert part.reads == (KeyRead(ITEMS, key(1), ("name",)),)
