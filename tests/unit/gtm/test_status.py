"""STATUS and CANCEL: answered from the fold; what is not known is refused first."""

from grit.core.errors import Code
from grit.core.fold import LIFE_MS
from grit.core.ids import Csn, Epoch, TxnId
from grit.core.messages import DescribeAnswered, DescribeAsked, Vote
from grit.core.outcome import Outcome, State
from grit.core.records import Refused
from grit.core.steps import Received
from gtm.config import GtmConfig
from tests.unit.gtm.rig import SIDECAR, START, A, B, Rig, txn


def test_an_unknown_transaction_is_refused_in_the_log_before_it_is_answered() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.ask_status(txn(1))
    rig.land()
    assert rig.outcomes(request) == []
    rig.fold()
    rig.assert_aborted(request, Code.REFUSED)
    assert rig.refusals() == [Refused(Epoch(0), (txn(1),))]


def test_a_transaction_whose_refusal_is_on_its_way_is_not_admitted() -> None:
    rig = Rig()
    rig.serve(A)
    status = rig.ask_status(txn(1))
    submit = rig.submit(txn(1), A, age=5)
    assert rig.asked(A) == []
    rig.settle()
    rig.assert_aborted(status, Code.REFUSED)
    assert rig.assert_aborted(submit, Code.REFUSED).age == 5


def test_a_transaction_that_only_this_process_aborted_is_refused_too() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    rig.hear(A, rig.votes(A, v0=Vote(txn(1), Code.PHANTOM.value, "x")))
    request = rig.ask_status(txn(1))
    assert rig.outcomes(request) == []
    rig.settle()
    rig.assert_aborted(request, Code.REFUSED)


def test_a_transaction_in_progress_is_answered_when_it_is_decided() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    request = rig.ask_status(txn(1))
    assert rig.outcomes(request) == []
    rig.vote(A)
    rig.settle()
    assert rig.outcome(request) == Outcome(txn(1), State.COMMITTED, csn=Csn(1))
    assert rig.outcome(rig.ask_status(txn(1))) == rig.outcome(request)
    assert rig.refusals() == []


def test_an_expired_transaction_is_unknown_and_nothing_is_written() -> None:
    rig = Rig()
    rig.serve(A)
    outcome = rig.outcome(rig.ask_status(txn(1, began=START - 2 * LIFE_MS - 1)))
    assert (outcome.state, outcome.code) == (State.UNKNOWN, Code.EXPIRED)
    assert rig.refusals() == []


def test_refusals_gather_while_one_is_in_flight() -> None:
    rig = Rig()
    rig.serve(A)
    requests = [rig.ask_status(txn(number)) for number in (1, 3, 2)]
    rig.cancel("k")
    rig.settle()
    assert [(refused.txids, refused.keys) for refused in rig.refusals()] == [
        ((txn(1),), ()),
        ((txn(2), txn(3)), ("k",)),
    ]
    for request in requests:
        rig.assert_aborted(request, Code.REFUSED)


def test_refusals_on_their_way_are_limited() -> None:
    rig = Rig(GtmConfig(refusals_max=1))
    rig.serve(A)
    rig.ask_status(txn(1))
    assert rig.declined(rig.ask_status(txn(2))).code == Code.OVERLOADED
    assert rig.declined(rig.cancel("k")).code == Code.OVERLOADED


def test_a_refusal_by_a_participant_aborts_what_votes() -> None:
    rig = Rig()
    rig.serve(A, B)
    request = rig.submit(txn(1), A, B)
    rig.log.append(Refused(Epoch(0), (txn(1),)))
    rig.settle()
    rig.vote(A, B)
    rig.assert_aborted(request, Code.REFUSED)
    assert rig.commits() == []


def test_what_is_refused_while_it_waits_for_a_round_is_not_voted_on() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A)
    request = rig.submit(txn(2), A)
    rig.log.append(Refused(Epoch(0), (txn(2),)))
    rig.settle()
    rig.vote(A)
    rig.assert_aborted(request, Code.REFUSED)
    assert len(rig.asked(A)) == 1


def test_a_refusal_by_a_participant_voids_an_entry_behind_it() -> None:
    rig = Rig()
    rig.serve(A, B)
    request = rig.submit(txn(1), A, B)
    rig.vote(A, B)
    rig.log.append(Refused(Epoch(0), (txn(1),)))
    rig.settle()
    rig.assert_aborted(request, Code.REFUSED)
    assert [(d.committed, d.csn) for d in rig.decisions(B)] == [(False, 1)]


def test_a_refusal_behind_the_entry_changes_nothing() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.submit(txn(1), A)
    rig.vote(A)
    rig.land()
    rig.log.append(Refused(Epoch(0), (txn(1),)))
    rig.settle()
    assert rig.outcome(request).state == State.COMMITTED


def test_the_status_of_a_key_writes_nothing() -> None:
    rig = Rig()
    rig.serve(A)
    assert rig.outcome(rig.ask_key_status("k")) == Outcome(TxnId(""), State.NOT_COMMITTED)
    rig.submit(txn(1), A, key="k", result=b"r")
    assert rig.outcome(rig.ask_key_status("k")) == Outcome(txn(1), State.RUNNING)
    rig.vote(A)
    rig.settle()
    assert rig.outcome(rig.ask_key_status("k")) == Outcome(txn(1), State.COMMITTED, csn=Csn(1), result=b"r")
    assert rig.refusals() == []


def test_a_cancelled_key_is_not_committed_and_says_that_it_never_will_be() -> None:
    rig = Rig()
    rig.serve(A)
    request = rig.cancel("k")
    assert rig.outcomes(request) == []
    rig.settle()
    assert rig.assert_aborted(request, Code.REFUSED).txid == ""
    outcome = rig.outcome(rig.ask_key_status("k"))
    assert (outcome.state, outcome.code) == (State.NOT_COMMITTED, Code.REFUSED)
    rig.assert_aborted(rig.cancel("k"), Code.REFUSED)
    assert len(rig.refusals()) == 1


def test_cancelling_a_committed_key_answers_its_holder() -> None:
    rig = Rig()
    rig.serve(A)
    rig.submit(txn(1), A, key="k", result=b"r")
    rig.vote(A)
    early = rig.cancel("k")  # its refusal lies behind the entry
    rig.settle()
    holder = Outcome(txn(1), State.COMMITTED, csn=Csn(1), result=b"r")
    assert rig.outcome(early) == rig.outcome(rig.cancel("k")) == holder


def test_a_refusal_that_the_log_did_not_take_is_declined_and_the_next_one_may_go() -> None:
    rig = Rig()
    rig.serve(A)
    status = rig.ask_status(txn(1))
    cancel = rig.cancel("k")
    rig.refuse_append("disk full")
    declined = rig.declined(status)
    assert (declined.code, declined.retry_after_ms) == (Code.OVERLOADED, 100)
    assert "disk full" in declined.message
    rig.settle()
    rig.assert_aborted(cancel, Code.REFUSED)


def test_describe_gives_plain_facts() -> None:
    rig = Rig()
    rig.serve(A, B)
    rig.submit(txn(1), A)
    rig.vote(A)
    rig.settle()
    rig.submit(txn(2), B)
    rig.hear(B, rig.votes(B, v0=Vote(txn(2), Code.PHANTOM.value, "x")))
    rig.step(Received(SIDECAR, DescribeAsked(9)))
    (answer,) = rig.sent(DescribeAnswered, SIDECAR)
    assert answer.id == 9
    assert answer.facts == {
        "role": "gtm",
        "state": "SERVING",
        "epoch": 1,
        "leader": "host-g1",
        "next_csn": 2,
        "waiting": 0,
        "voting": 0,
        "in_flight": 0,
        "committed": 1,
        "aborts": {"PHANTOM": 1},
        "realms": {
            "a": {"link": "usable", "fence": 1, "last_csn": 1},
            "b": {"link": "usable", "fence": 1, "last_csn": 0},
        },
    }
