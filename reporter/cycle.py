"""One turn of the reporter: take the lease, bring in what lies about, fold it, report, and, for `push`, send it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from reporter import __version__, sloth_series, state
from reporter.config.model import Config
from reporter.errors import LeaseHeld, StoreConflict
from reporter.exclusions import in_force
from reporter.exposition import render, validate
from reporter.family import Family
from reporter.fold import TOLD_UNTIL, FoldResult, FoldRules, fold
from reporter.fold.slos import Progress, unheard
from reporter.ingest import flag_future, ingest_spool
from reporter.lease import Lease, acquire, release
from reporter.metrics import families
from reporter.publish.delivery import FamiliesAt, Snapshot, deliver, preview, show
from reporter.publish.exchange import Access
from reporter.publish.pushgateway import Gateway, Group
from reporter.report.budgets import has_budgets, remember_budgets
from reporter.report.build import build
from reporter.report.labels import remember_label_values
from reporter.report.model import Report
from reporter.retention import Pruned, Retention, prune
from reporter.sinks.spool import directories_for
from reporter.store import Store
from reporter.tally import MINUTE_NS

MOST_CONFLICTS = 5
"""How often a fold begins anew because a job wrote the same rows at that moment; it happens on Postgres."""


@contextmanager
def leased(store: Store, config: Config) -> Iterator[Lease]:
    """The lease, given back at the end.

    Raises:
        LeaseHeld: another reporter is at work.
    """
    lease = acquire(store, config.lease_ns)
    try:
        yield lease
    finally:
        release(store, lease)


def catch_up(store: Store, lease: Lease, config: Config, progress: Progress = unheard) -> FoldResult:
    """Bring in the spool and fold everything new; `progress` hears of the fold."""
    for directory in directories_for(config.database):
        ingest_spool(store, directory)
    flag_future(store, time.time_ns())
    rules = FoldRules(
        lost_after_ns=config.report.lost_after_ns,
        prices=config.price_list,
        expected=config.expected,
        most_errors=config.report.max_values_per_label,
    )
    for _ in range(MOST_CONFLICTS):
        try:
            return fold(store, lease, config.slos, rules, progress=progress)
        except StoreConflict:  # a run ended while it was being declared lost, say; what was counted stays counted
            continue
    return fold(store, lease, config.slos, rules, progress=progress)


def make_report(store: Store, config: Config, as_of_ns: int, *, folded: bool) -> Report:
    """The report as of a moment, from what is folded."""
    with store.read() as connection:
        return build(
            connection,
            config.slos,
            config.budgets,
            as_of_ns=as_of_ns,
            windows_ns=config.report.windows_ns,
            labels=config.report.labels,
            max_values_per_label=config.report.max_values_per_label,
            exclusions=in_force(connection, config),
            expected=config.expected,
            folded=folded,
        )


def report(
    store: Store,
    config: Config,
    as_of_ns: int,
    *,
    of_now: bool = True,
    fold_first: bool = True,
    progress: Progress = unheard,
) -> Report:
    """Fold what is new, if nobody else is at it, and report; a report `of_now` is what `v_budget` shows."""
    if not fold_first:
        return make_report(store, config, as_of_ns, folded=False)
    try:
        with leased(store, config) as lease:
            catch_up(store, lease, config, progress)
            made = make_report(store, config, as_of_ns, folded=True)
            if of_now:
                _keep_budgets(store, lease, made)
            return made
    except LeaseHeld:
        return make_report(store, config, as_of_ns, folded=False)


def _keep_budgets(store: Store, lease: Lease, made: Report) -> None:
    with store.read() as connection:
        nothing_to_do = not made.budgets and not has_budgets(connection)
    if not nothing_to_do:
        with store.write() as connection:
            lease.renew(connection)
            remember_budgets(connection, made.budgets, made.as_of_ns)


def prune_now(store: Store, lease: Lease, config: Config) -> Pruned:
    """Delete what is older than the configured retention."""
    kept = config.retention
    retention = Retention(
        calls_ns=kept.calls_ns, minutes_ns=kept.minutes_ns, hours_ns=kept.hours_ns, days_ns=kept.days_ns
    )
    return prune(store, lease, retention, time.time_ns())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What one push was."""

    body: bytes
    series: int
    sequence: int
    attempts: int  # 0: a dry run
    held: int
    new_series: int
    report: Report
    notes: tuple[str, ...]


def gateway_of(config: Config) -> Gateway:
    """The gateway of the configuration, its secrets read.

    Raises:
        ConfigError: a file with a secret or a certificate can't be used.
    """
    settings = config.pushgateway
    password = settings.read_password()
    access = Access(
        auth=(settings.username, password or "") if settings.username else None,
        bearer_token=settings.read_bearer_token(),
        tls=settings.tls_context(),
    )
    group = Group.of(settings.url, settings.grouping)
    return Gateway(group=group, timeout_ns=settings.timeout_ns, access=access)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn found, and how it is told."""

    report: Report
    folded: FoldResult | None  # None: nothing was folded
    pruned: Pruned | None  # None: nothing was looked through for it
    families_at: FamiliesAt
    remember: Callable[[Connection], None]  # to be committed with what was told


def turn(
    store: Store,
    lease: Lease,
    config: Config,
    as_of_ns: int,
    *,
    of_now: bool = True,
    fold_first: bool = True,
    dry_run: bool = False,
    progress: Progress = unheard,
) -> Turn:
    """Fold, prune and report, under the lease; a report `of_now` is what `v_budget` shows."""
    folded = catch_up(store, lease, config, progress) if fold_first else None
    pruned = prune_now(store, lease, config) if fold_first and not dry_run else None
    began_ns = time.monotonic_ns()
    made = make_report(store, config, as_of_ns, folded=fold_first)
    seconds = (time.monotonic_ns() - began_ns) / 1e9
    if of_now and not dry_run:
        _keep_budgets(store, lease, made)
    own_labels = {slo.name: slo.labels for slo in config.slos}

    def families_at(now_ns: int, sequence: int) -> tuple[Family, ...]:
        return families(
            made,
            now_ns=now_ns,
            duration_seconds=seconds,
            sequence=sequence,
            version=__version__,
            also=sloth_series.samples(made.slos, own_labels, __version__) if config.report.sloth_series else (),
        )

    def remember(connection: Connection) -> None:
        remember_label_values(connection, config.report.labels, config.report.max_values_per_label)
        told_ns = max(as_of_ns // MINUTE_NS * MINUTE_NS, state.get_integer(connection, TOLD_UNTIL))
        state.put(connection, TOLD_UNTIL, str(told_ns))

    return Turn(report=made, folded=folded, pruned=pruned, families_at=families_at, remember=remember)


def push(
    store: Store,
    config: Config,
    as_of_ns: int,
    *,
    of_now: bool = True,
    fold_first: bool = True,
    dry_run: bool = False,
    progress: Progress = unheard,
) -> Pushed:
    """Fold, prune, report and PUT the whole truth, under the lease; a push `of_now` is what `v_budget` shows.

    Raises:
        LeaseHeld: another reporter is at work; nothing was done.
        PublishError: the gateway refused.
        PublishRetryLater: the gateway did not answer in time.
    """
    gateway = gateway_of(config)
    with leased(store, config) as lease:
        made = turn(
            store, lease, config, as_of_ns, of_now=of_now, fold_first=fold_first, dry_run=dry_run, progress=progress
        )
        if dry_run:
            snapshot = preview(store, gateway, made.families_at, config.pushgateway.new_series_delay_ns)
            return _pushed(snapshot, made.report, 0, ())
        return send(store, lease, config, gateway, made)


def send(store: Store, lease: Lease, config: Config, gateway: Gateway, made: Turn) -> Pushed:
    """PUT what a turn found.

    Raises:
        LeaseHeld, PublishError, PublishRetryLater: as `push`.
    """
    delay_ns = config.pushgateway.new_series_delay_ns
    delivery = deliver(store, lease, gateway, made.families_at, delay_ns=delay_ns, remember=made.remember)
    return _pushed(delivery.snapshot, made.report, delivery.attempts, delivery.notes)


def page(store: Store, lease: Lease, config: Config, made: Turn) -> Snapshot:
    """What a turn found, for whoever scrapes it.

    Raises:
        LeaseHeld: as `push`.
    """
    delay_ns = config.pushgateway.new_series_delay_ns
    return show(store, lease, made.families_at, delay_ns=delay_ns, remember=made.remember)


def _pushed(snapshot: Snapshot, made: Report, attempts: int, notes: tuple[str, ...]) -> Pushed:
    return Pushed(
        body=snapshot.body,
        series=snapshot.series,
        sequence=snapshot.sequence,
        attempts=attempts,
        held=snapshot.prepared.held,
        new_series=len(snapshot.prepared.new),
        report=made,
        notes=notes,
    )


def openmetrics(made: Report, seconds: float) -> bytes:
    """The report as OpenMetrics text, counters as they truly are."""
    found: tuple[Family, ...] = families(
        made, now_ns=time.time_ns(), duration_seconds=seconds, sequence=0, version=__version__
    )
    validate(found)
    return render(found, openmetrics=True)
