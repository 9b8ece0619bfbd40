"""Links to the DBTMs: hello, fences, silence, lost pushes and votes."""

from grit.core.errors import Code
from grit.core.ids import Csn, Epoch, LinkId
from grit.core.messages import DbtmHello, Decision, GtmHello, Vote, VoteAsked, Votes
from grit.core.outcome import State
from grit.core.records import Fence, Refused
from grit.core.steps import GTL, CatchUp, CloseLink, LinkClosed, LinkOpened, LogCaughtUp, Received
from gtm.config import GtmConfig
from tests.unit.gtm.rig import START, A, B, Rig, txn


def test_a_new_link_is_greeted_with_the_epoch() -> None:
    rig = Rig()
    rig.serve()
    rig.open(A)
    assert rig.hellos(A) == [GtmHello(Epoch(1))]


def test_links_of_sidecars_are_not_greeted() -> None:
    rig = Rig()
    rig.serve()
    assert rig.step(LinkOpened(LinkId(5), ("sidecar", "shop-1"))) == []


def test_a_realm_counts_only_after_its_hello() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.pass_time(1_000)
    rig.open(B)
    rig.assert_aborted(rig.submit(txn(1), A, B), Code.REALM_DOWN)
    rig.hello(B)
    rig.submit(txn(2), A, B)
    assert rig.asked(B)[-1].parts[0][0] == txn(2)


def test_in_the_first_moments_of_an_epoch_rounds_wait_for_the_hellos_of_linked_realms() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.open(B)
    request = rig.submit(txn(1), A, B)
    assert rig.asked(A) == []
    rig.hello(B)
    rig.vote(A, B)
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED


def test_the_first_moments_of_an_epoch_end() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.open(B)
    down = rig.submit(txn(1), A, B)
    rig.submit(txn(2), A)
    rig.pass_time(1_000)
    rig.assert_aborted(down, Code.REALM_DOWN)
    assert [part[0] for part in rig.asked(A)[-1].parts] == [txn(2)]


def test_a_hello_of_another_epoch_is_nothing() -> None:
    rig = Rig()
    rig.serve(A)
    rig.pass_time(1_000)
    rig.open(A)
    rig.hear(A, DbtmHello(A, Epoch(7), Epoch(1), 0, ()))
    rig.assert_aborted(rig.submit(txn(1), A), Code.REALM_DOWN)


def test_a_hello_of_another_realm_closes_the_link_with_the_reason() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.hear(A, DbtmHello(B, Epoch(1), Epoch(1), 0, ()))
    (closed,) = [effect for effect in rig.effects if isinstance(effect, CloseLink)]
    assert closed == CloseLink(rig.links[A], "realm b answers where realm a should: check the addresses")


def test_the_link_whose_hello_is_newest_speaks_for_its_realm() -> None:
    rig = Rig()
    rig.serve(A)
    old, new = rig.links[A], LinkId(rig.links[A] + 1)
    rig.step(LinkOpened(new, ("dbtm", A)))
    rig.submit(txn(1), A)
    assert len(rig.sent(VoteAsked, old)) == 1
    rig.step(Received(new, DbtmHello(A, Epoch(1), Epoch(1), 0, ())))
    assert len(rig.sent(VoteAsked, new)) == 1
    rig.step(LinkClosed(old))
    rig.links[A] = new
    rig.vote(A)
    rig.settle()
    assert rig.machine.fold.committed == {txn(1): 1}


def test_a_standby_that_has_been_deposed_does_not_speak_for_its_realm() -> None:
    rig = Rig()
    rig.serve(A)
    leader, deposed = LinkId(rig.links[A] + 1), rig.links[A]
    rig.step(LinkOpened(leader, ("dbtm", A)))
    rig.log.append(Fence(A, Epoch(2)))
    rig.settle()
    rig.step(Received(leader, DbtmHello(A, Epoch(1), Epoch(2), 0, ())))
    rig.step(Received(deposed, DbtmHello(A, Epoch(1), Epoch(1), 0, ())))
    rig.submit(txn(1), A)
    assert (len(rig.sent(VoteAsked, leader)), len(rig.sent(VoteAsked, deposed))) == (1, 0)


def test_who_does_not_answer_the_hello_is_asked_again() -> None:
    rig = Rig(GtmConfig(hello_retry_ms=100))
    rig.serve()
    rig.open(A)
    rig.pass_time(99)
    assert len(rig.hellos(A)) == 1
    rig.pass_time(1)
    assert len(rig.hellos(A)) == 2
    rig.log.append(Fence(A, Epoch(1)))
    rig.settle()
    rig.hello(A)
    before = len(rig.hellos(A))
    rig.pass_time(100)
    assert len(rig.hellos(A)) == before


def test_a_dbtm_epoch_above_the_fence_makes_the_gtm_fold_first() -> None:
    rig = Rig()
    rig.serve(A)
    rig.pass_time(1_000)
    rig.log.append(Fence(A, Epoch(2)))  # not folded yet
    rig.open(A)
    rig.hello(A, epoch=2)
    assert rig.effects[-1] == CatchUp(GTL)
    rig.assert_aborted(rig.submit(txn(1), A), Code.REALM_DOWN)
    rig.settle()
    rig.submit(txn(2), A)
    assert len(rig.asked(A)) == 1


def test_a_vote_of_an_epoch_above_the_fence_makes_the_gtm_fold_before_it_counts() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.log.append(Fence(A, Epoch(2)))  # not folded yet
    rig.hear(A, rig.votes(A, epoch=2))
    assert (rig.effects[-1], rig.commits()) == (CatchUp(GTL), [])
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED
    assert rig.commits()[0].entries[0].parts[0].dbtm_epoch == 2
    rig.pass_time(1_000)
    rig.submit(txn(2), A)
    assert len(rig.asked(A)) == 2


def test_a_vote_whose_fence_is_not_in_the_log_is_no_vote() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.hear(A, rig.votes(A, epoch=2))
    rig.step(LogCaughtUp(GTL))
    rig.assert_aborted(request, Code.FENCED)


def test_a_vote_of_a_fenced_epoch_is_no_vote_and_the_new_leader_is_greeted() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.log.append(Fence(A, Epoch(2)))
    rig.settle()
    assert len(rig.hellos(A)) == 2
    rig.hear(A, rig.votes(A, epoch=1))
    rig.assert_aborted(request, Code.FENCED)


def test_a_new_leader_of_a_realm_is_asked_for_the_votes_of_the_round_again() -> None:
    rig = Rig()
    rig.serve(A, B)
    request = rig.submit(txn(1), A, B)
    rig.vote(A)
    rig.log.append(Fence(A, Epoch(2)))
    rig.settle()
    rig.open(A)
    rig.hello(A, at=0)
    assert rig.asked(A)[-1].round == 1
    rig.vote(B)
    assert rig.commits() == []
    rig.vote(A)
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED


# --- silence -------------------------------------------------------------------------------------------


def test_a_realm_that_does_not_vote_in_time_aborts_its_transactions_only() -> None:
    rig = Rig(GtmConfig(vote_timeout_ms=200))
    rig.serve(A, B)
    rig.submit(txn(1), A)
    silent = rig.submit(txn(2), A, B)
    other = rig.submit(txn(3), A)
    rig.vote(A)
    rig.vote(A)
    rig.pass_time(199)
    assert rig.outcomes(silent) == []
    rig.pass_time(1)
    rig.settle()
    assert rig.assert_aborted(silent, Code.REALM_DOWN).age == START
    assert rig.outcome(other).state == State.COMMITTED
    assert rig.decisions(B) == [Decision(txn(2), False)]


def test_a_silent_realm_is_refused_at_once_until_its_link_shows_life() -> None:
    rig = Rig(GtmConfig(vote_timeout_ms=200))
    rig.serve(A, B)
    rig.submit(txn(1), B)
    late = rig.votes(B)
    rig.pass_time(200)
    rig.assert_aborted(rig.submit(txn(2), A, B), Code.REALM_DOWN)
    rig.hear(B, late)
    request = rig.submit(txn(3), A, B)
    rig.vote(A, B)
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED


def test_a_silent_realm_is_greeted_again_so_that_it_can_show_life() -> None:
    rig = Rig(GtmConfig(vote_timeout_ms=200, hello_retry_ms=500))
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.pass_time(200)
    rig.pass_time(500)
    assert len(rig.hellos(A)) == 2
    rig.hello(A, at=1)
    rig.submit(txn(2), A)
    assert rig.asked(A)[-1].parts[0][0] == txn(2)


def test_votes_that_come_too_late_or_twice_count_once_or_not_at_all() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    first = rig.votes(A)
    rig.hear(A, first)
    request = rig.submit(txn(2), A)
    rig.hear(A, first)
    assert len(rig.commits()) == 1
    no = rig.votes(A, v0=Vote(txn(2), Code.PHANTOM.value, "x"))
    rig.hear(A, no)
    rig.hear(A, rig.votes(A))
    rig.assert_aborted(request, Code.PHANTOM)


def test_the_first_votes_of_a_realm_on_a_round_count() -> None:
    rig = Rig()
    rig.serve(A, B)
    request = rig.submit(txn(1), A, B)
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.PHANTOM.value, "x")))
    rig.vote(A, B)
    rig.assert_aborted(request, Code.PHANTOM)


def test_a_realm_hears_how_far_the_gtm_has_folded_after_every_hello() -> None:
    rig = Rig()
    rig.serve(A)
    pushes = len(rig.decided(A))
    rig.hello(A)
    assert len(rig.decided(A)) == pushes + 1


# --- a link that broke ---------------------------------------------------------------------------------


def test_a_realm_that_lost_the_vote_request_is_asked_again_on_its_new_link() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.step(LinkClosed(rig.links[A]))
    rig.open(A)
    rig.hello(A, at=0)
    rig.vote(A)
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED


def test_votes_that_were_lost_come_with_the_hello() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    votes = rig.votes(A)
    rig.open(A)
    rig.hello(A, at=1, votes=(votes,))
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED
    assert rig.asked(A) == []


def test_a_round_that_the_realm_certified_and_lists_no_vote_for_is_a_no() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.open(A)
    rig.hello(A, at=1)
    rig.assert_aborted(request, Code.REALM_DOWN)


def test_a_vote_missing_from_the_votes_of_a_round_is_a_no() -> None:
    rig = Rig()
    rig.serve(A, B)
    request = rig.submit(txn(1), A, B)
    rig.vote(A)
    rig.hear(B, Votes(Epoch(1), Epoch(1), 1, ()))
    rig.assert_aborted(request, Code.REALM_DOWN)


def test_aborts_that_were_lost_are_told_after_the_hello() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.submit(txn(1), A, B)
    lost = rig.votes(B)
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.PHANTOM.value, "x")))
    rig.step(LinkClosed(rig.links[B]))
    rig.pass_time(1_000)
    rig.open(B)
    rig.hello(B, at=1, votes=(lost,))
    assert rig.decisions(B) == [Decision(txn(1), False)]


def test_a_lost_commit_shows_in_the_last_csn_after_the_hello() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    votes = rig.votes(A)
    rig.hear(A, votes)
    rig.step(LinkClosed(rig.links[A]))
    rig.settle()
    rig.open(A)
    rig.hello(A, at=1, votes=(votes,))
    (push,) = rig.decided(A)
    assert (push.decisions, push.last_csn, push.through) == ((), 1, 1)


def test_what_is_not_decided_is_not_told_after_the_hello() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    votes = rig.votes(A)
    rig.hear(A, votes)
    rig.open(A)
    rig.hello(A, at=1, votes=(votes,))
    assert rig.decisions(A) == []
    rig.settle()
    assert rig.decisions(A) == [Decision(txn(1), True, Csn(1), Csn(0))]


# --- pushes --------------------------------------------------------------------------------------------


def test_outcomes_are_pushed_in_csn_order_before_the_next_parts() -> None:
    rig = Rig()
    rig.serve(A)
    for number in range(1, 4):
        rig.submit(txn(number), A)
    rig.hear(A, rig.votes(A))
    rig.hear(A, rig.votes(A, edges=((txn(3), txn(2)),)))
    rig.settle()
    assert [(d.txid, d.csn) for d in rig.decisions(A)] == [(txn(1), 1), (txn(3), 2), (txn(2), 3)]
    assert [d.csn for d in rig.decided(A)[-1].decisions] == [2, 3]


def test_aborts_are_pushed_before_the_parts_of_the_next_round() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.submit(txn(2), A)
    before = len(rig.effects)
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.PHANTOM.value, "x")))
    kinds = [type(getattr(effect, "message", None)).__name__ for effect in rig.effects[before:]]
    assert kinds == ["OutcomeAnswered", "Decided", "VoteAsked"]


def test_a_push_says_how_far_the_gtm_has_folded() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.settle()
    push = rig.decided(A)[-1]
    assert (push.gtm_epoch, push.through, push.offset, push.last_csn) == (1, 1, len(rig.log), 1)


def test_a_quiet_realm_hears_how_far_the_gtm_has_folded_each_half_second_when_it_moved() -> None:
    rig = Rig(GtmConfig(quiet_push_ms=500))
    rig.serve(A, B)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.settle()
    pushes = len(rig.decided(B))
    rig.pass_time(499)
    assert len(rig.decided(B)) == pushes
    rig.pass_time(1)
    assert len(rig.decided(B)) == pushes + 1
    assert (rig.decided(B)[-1].through, rig.decided(B)[-1].last_csn) == (1, 0)
    rig.pass_time(5_000)
    assert len(rig.decided(B)) == pushes + 1


def test_a_condition_is_judged_by_what_became_of_the_other() -> None:
    for landed in (None, True, False):
        rig = Rig()
        rig.serve(A, B)
        rig.pass_time(1_000)
        rig.submit(txn(1), A)
        rig.vote(A)
        if landed is not None:
            if landed is False:
                rig.log.append(Fence(A, Epoch(2)))
            rig.settle()
        request = rig.submit(txn(2), B)
        rig.hear(B, rig.votes(B, v0=Vote(txn(2), conditions=(txn(1),))))
        rig.settle()
        if landed is False:  # voided in the fold: it never happened
            assert rig.outcome(request).state == State.COMMITTED
        else:  # admitted and in flight, or committed
            assert txn(1) in rig.assert_aborted(request, Code.CONTENTION).message


def test_a_condition_on_one_that_is_refused_before_its_entry_is_false() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.log.append(Refused(Epoch(0), (txn(1),)))
    rig.fold()  # its entry is in flight, and will be voided
    request = rig.submit(txn(2), A)
    rig.hear(A, rig.votes(A, v0=Vote(txn(2), conditions=(txn(1),))))
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED


def test_a_condition_on_an_unknown_transaction_counts_as_true() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(2), A)
    rig.hear(A, rig.votes(A, v0=Vote(txn(2), conditions=(txn(99),))))
    conflict = rig.assert_aborted(request, Code.CONTENTION).conflict
    assert conflict is not None
    assert conflict.winner == txn(99)
