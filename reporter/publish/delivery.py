"""One delivery: what is true now, fit to leave, PUT under the lease, and kept in the ledger before and after.

    look        what the gateway shows; if it is ahead of the ledger, counters are held at what it shows
    snapshot    at each attempt anew: moment, sequence number, marks; the lease renewed and the marks kept before it leaves
    PUT         `reporter.publish.pushgateway`
    keep        the acknowledgement, still under the lease
    tidy        delete groups that this database pushed and the configuration no longer names

The lease is longer than all the time the gateway is given (`Config` sees to that) and renewed before each attempt, so it can't
run out under an attempt; a reporter that lost it nevertheless stops at the next step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from reporter import state
from reporter.errors import PublishError, PublishRetryLater
from reporter.exposition import render, validate
from reporter.family import Family
from reporter.lease import Lease
from reporter.publish.ledger import SCRAPED, KnownGroup, Ledger, Prepared, forget, load, others, prepare, save
from reporter.publish.pushgateway import Gateway, Group, Looks, delete, put
from reporter.store import Store

_HELD_TOTAL = "counter_regressions_held_total"
FORGET_AFTER_NS = 30 * 24 * 3600 * 10**9
"""How long an old gateway that can't be reached is asked to delete a group of ours."""

FamiliesAt = Callable[[int, int], Sequence[Family]]
"""(moment in ns, sequence number) → the report's families as of that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one attempt sends."""

    sequence: int
    body: bytes
    prepared: Prepared

    @property
    def series(self) -> int:
        return sum(family.series for family in self.prepared.families)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What arrived, and how."""

    snapshot: Snapshot
    attempts: int
    notes: tuple[str, ...]  # sentences for people


def preview(store: Store, gateway: Gateway, families_at: FamiliesAt, delay_ns: int) -> Snapshot:
    """What a delivery would send now, by this database's own ledger; nothing is asked, sent or kept."""
    with store.read() as connection:
        ledger, held_before = load(connection, gateway.group), state.get_integer(connection, _HELD_TOTAL)
    return _snapshot(gateway.group, families_at, ledger, delay_ns, held_before)


def show(
    store: Store,
    lease: Lease,
    families_at: FamiliesAt,
    *,
    delay_ns: int,
    remember: Callable[[Connection], None],
) -> Snapshot:
    """The page for whoever scrapes, kept in the ledger as a push is: no counter falls, a new one is shown as 0 first.

    Raises:
        LeaseHeld: the lease was lost; the other reporter shows its own.
    """
    with store.read() as connection:
        ledger, held_before = load(connection, SCRAPED), state.get_integer(connection, _HELD_TOTAL)
    snapshot = _snapshot(SCRAPED, families_at, ledger, delay_ns, held_before)
    now_ns = time.time_ns()
    kept = replace(ledger, sequence=snapshot.sequence, marks=snapshot.prepared.marks).acknowledge(now_ns)
    with store.write() as connection:
        lease.renew(connection)
        save(connection, SCRAPED, kept, now_ns)
        if snapshot.prepared.held:
            state.put(connection, _HELD_TOTAL, str(snapshot.prepared.held_total))
        remember(connection)
    return snapshot


def _snapshot(group: Group, families_at: FamiliesAt, ledger: Ledger, delay_ns: int, held_before: int) -> Snapshot:
    now_ns, sequence = time.time_ns(), ledger.sequence + 1
    found = families_at(now_ns, sequence)
    prepared = prepare(found, ledger, now_ns=now_ns, delay_ns=delay_ns, held_before=held_before)
    validate(prepared.families, dict(group.grouping))
    return Snapshot(sequence=sequence, body=render(prepared.families), prepared=prepared)


def deliver(
    store: Store,
    lease: Lease,
    gateway: Gateway,
    families_at: FamiliesAt,
    *,
    delay_ns: int,
    remember: Callable[[Connection], None],
) -> Delivery:
    """Bring the truth to the gateway; `remember` is committed with the marks, before anything leaves.

    Raises:
        LeaseHeld: the lease was lost; the other reporter pushes.
        PublishError: the gateway refused.
        PublishRetryLater: the gateway did not answer in time.
    """
    deadline = time.monotonic() + gateway.seconds
    with store.read() as connection:
        ledger, held_before = load(connection, gateway.group), state.get_integer(connection, _HELD_TOTAL)
        obsolete = others(connection, gateway.group)
    notes: list[str] = []
    looks = Looks(gateway.access, gateway.group.url, time.monotonic() + gateway.look_seconds)
    ledger = _caught_up(ledger, gateway, looks, notes)
    sent: list[Snapshot] = []

    def attempt() -> tuple[int, bytes]:
        nonlocal ledger
        snapshot = _snapshot(gateway.group, families_at, ledger, delay_ns, held_before)
        ledger = replace(ledger, sequence=snapshot.sequence, marks=snapshot.prepared.marks)
        with store.write() as connection:
            lease.renew(connection)
            save(connection, gateway.group, ledger, None)
            if snapshot.prepared.held:
                state.put(connection, _HELD_TOTAL, str(snapshot.prepared.held_total))
            if not sent:
                remember(connection)
        sent.append(snapshot)
        return snapshot.sequence, snapshot.body

    try:
        delivered = put(gateway, attempt, deadline)
    except PublishRetryLater:
        raise
    except PublishError:
        if not ledger.acknowledged:
            _remove_ghost(gateway, looks, deadline)
        raise
    now_ns = time.time_ns()
    with store.write() as connection:
        lease.renew(connection)
        save(connection, gateway.group, ledger.acknowledge(now_ns), now_ns)
    if delivered.lost_answer:
        notes.append(f"the gateway's answer was lost ({delivered.lost_answer}), but it shows that the push arrived")
    for known in obsolete:
        _tidy(store, lease, gateway, known, looks, deadline, notes)
    return Delivery(snapshot=sent[-1], attempts=delivered.attempts, notes=tuple(notes))


def _caught_up(ledger: Ledger, gateway: Gateway, looks: Looks, notes: list[str]) -> Ledger:
    if looks.groups is None:
        notes.append(
            f"{gateway.group.url}: can't be looked at ({looks.trouble}); counters are held by this database's ledger alone"
        )
        return ledger
    shown = gateway.group.among(looks.groups)
    if shown is None or shown.sequence is None or shown.sequence <= ledger.sequence:
        return ledger
    notes.append(
        f"{gateway.group.address}: shows snapshot {shown.sequence}, this database knows of {ledger.sequence}: it was"
        " restored from a backup, or another database pushes to the same group; no counter falls below what is shown"
    )
    return ledger.caught_up(shown)


def _remove_ghost(gateway: Gateway, looks: Looks, deadline: float) -> None:
    """A refused first push leaves a group with nothing but `push_time_seconds 0`: take it away, if it was not there before."""
    if looks.groups is None or gateway.group.among(looks.groups) is not None:
        return
    until = min(deadline, time.monotonic() + gateway.look_seconds)
    shown = gateway.group.among(Looks(gateway.access, gateway.group.url, until).groups or ())
    if shown is not None and shown.is_ghost:
        delete(gateway.access, gateway.group, min(deadline, time.monotonic() + gateway.look_seconds))


def _tidy(
    store: Store,
    lease: Lease,
    gateway: Gateway,
    known: KnownGroup,
    looks: Looks,
    deadline: float,
    notes: list[str],
) -> None:
    """Delete a group that we pushed and that is configured no more, unless somebody else pushed to it since."""
    group, access = known.group, gateway.access
    if group.url != gateway.group.url:  # credentials are for the gateway they were configured with
        access = access.without_credentials
        looks = Looks(access, group.url, min(deadline, time.monotonic() + gateway.look_seconds))
    trouble = looks.trouble
    if looks.groups is not None:
        shown = group.among(looks.groups)
        if shown is not None and not shown.is_ghost and not 0 <= (shown.sequence or -1) <= known.sequence:
            notes.append(f"{group.address}: someone else pushes to this group by now; it is left alone")
        elif shown is not None:
            trouble = delete(access, group, min(deadline, time.monotonic() + gateway.look_seconds))
            if not trouble:
                notes.append(f"{group.address}: deleted, because it is configured no more")
    if trouble:
        asked_for_ns = time.time_ns() - (known.acknowledged_at_ns or 0)
        if asked_for_ns < FORGET_AFTER_NS:
            notes.append(
                f"{group.address}: configured no more, but can't be deleted: {trouble}; the next push tries again"
            )
            return
        notes.append(f"{group.address}: configured no more, and can't be deleted: {trouble}; it is forgotten")
    with store.write() as connection:
        lease.renew(connection)
        forget(connection, group)
