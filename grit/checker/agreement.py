"""Do the logs agree? W1, W2, W3 and W9: the decisions of the GTL against the transactions of the DBTLs.

What is committed but not yet in a DBTL that has not claimed to be through is in progress, and no finding, unless the
deployment is said to be quiesced. The DBTLs must have been copied before the GTL: then every Csn in them is in it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from grit.checker.dbtl import RealmHistory, Transaction
from grit.checker.gtl import GlobalHistory
from grit.checker.report import Finding
from grit.core.ids import Realm, TxnId


class Agreement(msgspec.Struct, frozen=True):
    """`in_progress`: how many parts of committed transactions are not yet in their DBTL, and need not be."""

    findings: tuple[Finding, ...]
    in_progress: int


def compare_logs(gtl: GlobalHistory, realms: Mapping[Realm, RealmHistory], *, is_quiesced: bool) -> Agreement:
    """Hold every DBTL to the GTL, and the transactions of all to each other."""
    findings: list[Finding] = []
    in_progress = 0
    for realm in sorted(realms):
        history = realms[realm]
        findings += _judge_globals(gtl, history)
        missing = list(_judge_missing(gtl, history, is_quiesced=is_quiesced))
        findings += [finding for finding in missing if finding is not None]
        in_progress += missing.count(None)
        findings += _judge_fences(gtl, history)
    findings += _judge_ids(gtl, realms)
    return Agreement(tuple(findings), in_progress)


def _judge_globals(gtl: GlobalHistory, history: RealmHistory) -> Iterable[Finding]:
    """Yield what is wrong with the global transactions that lie in a DBTL."""
    last: Transaction | None = None
    for transaction in history.transactions:
        csn = transaction.entry.csn
        if csn == 0:
            continue
        if last is not None and csn == last.entry.csn:
            yield history.finding(transaction, "W2", "applied twice", f"Csn {csn} also has Lsn {last.lsn}")
        elif last is not None and csn < last.entry.csn:
            message = f"Csn {csn} comes after Csn {last.entry.csn} of Lsn {last.lsn}"
            yield history.finding(transaction, "W1", "out of order", message)
        finding = _judge_global(gtl, history, transaction)
        if finding is not None:
            yield finding
        last = transaction


def _judge_global(gtl: GlobalHistory, history: RealmHistory, transaction: Transaction) -> Finding | None:
    entry = transaction.entry
    decision = gtl.at(entry.csn)
    if decision is None and (not gtl.is_whole or entry.csn <= gtl.before):
        return None
    if decision is None:
        message = f"the global log has no Csn {entry.csn}, it ends at {gtl.last_csn}"
        return history.finding(transaction, "W1", "never decided", message)
    if decision.entry.txid != entry.txid:
        return history.finding(
            transaction, "W1", "other transaction", f"Csn {entry.csn} is another one's", decision.entry.txid
        )
    if decision.void is not None:
        name, message = (
            "W3" if decision.void.is_duplicate else "W2",
            f"Csn {entry.csn} is void: {decision.void.because}",
        )
        return history.finding(transaction, name, "void but applied", message, "no trace of it")
    part = decision.part_of(history.realm)
    if part is None:
        message = f"realm {history.realm} is no participant of Csn {entry.csn}"
        return history.finding(transaction, "W2", "stranger", message, "no trace of it")
    if part.part != entry.part:
        message = f"the part differs from the one that was decided at offset {decision.offset} of the global log"
        return history.finding(transaction, "W2", "other part", message, _digest(part.part), _digest(entry.part))
    return None


def _judge_missing(gtl: GlobalHistory, history: RealmHistory, *, is_quiesced: bool) -> Iterable[Finding | None]:
    """Yield, for every committed transaction that the DBTL lacks, a finding, or None when it may still come."""
    found = {transaction.entry.csn for transaction in history.transactions}
    # Globals enter in order of Csn: below the last one that is there nothing can be added any more.
    settled = max(max(found, default=0), history.end.through)
    for decision in gtl.committed_of(history.realm):
        if decision.csn in found or decision.csn <= history.marks[0].through:
            continue
        if decision.csn > settled and not (is_quiesced and history.is_whole):
            yield None
            continue
        claimed = next(
            (history.begin + i - 1 for i, mark in enumerate(history.marks) if mark.through >= decision.csn), -1
        )
        said = f"; offset {claimed} says that all up to there is in this log" if claimed >= 0 else ""
        yield Finding(
            "W2",
            "missing",
            f"committed at offset {decision.offset} of the global log, and not in the log of realm {history.realm}{said}",
            log=history.log,
            offset=claimed,
            csn=decision.csn,
            txid=decision.entry.txid,
            expected=f"one entry with Csn {decision.csn}",
        )


def _judge_fences(gtl: GlobalHistory, history: RealmHistory) -> Iterable[Finding]:
    """Yield the epochs that committed transactions without having fenced the votes of the epoch before."""
    fenced = gtl.fences.get(history.realm, frozenset())
    for epoch, offset in sorted(history.writing_epochs.items()):
        is_cut = bool(gtl.before) and epoch < min(fenced, default=epoch)
        if epoch not in fenced and gtl.is_whole and not is_cut:
            yield Finding(
                "W9",
                "forged epoch",
                f"epoch {epoch} of realm {history.realm} commits transactions, and no FENCE of it is in the global log",
                log=history.log,
                offset=offset,
                expected=f"FENCE of realm {history.realm}, epoch {epoch}",
            )


def _judge_ids(gtl: GlobalHistory, realms: Mapping[Realm, RealmHistory]) -> Iterable[Finding]:
    """Yield the transactions whose id commits twice: local twice, local and global, local in two realms."""
    seen: dict[TxnId, str] = {
        decision.entry.txid: f"as global Csn {decision.csn}" for decision in gtl.decisions if decision.is_committed
    }
    for realm in sorted(realms):
        history = realms[realm]
        for transaction in history.transactions:
            if transaction.entry.csn:
                continue
            here = f"as Lsn {transaction.lsn} of realm {realm}"
            before = seen.setdefault(transaction.entry.txid, here)
            if before != here:
                yield history.finding(transaction, "W3", "doubled id", f"the transaction has committed {before} too")


def _digest(part: bytes) -> str:
    return f"{len(part)} bytes, {part[:24].hex()}..."
