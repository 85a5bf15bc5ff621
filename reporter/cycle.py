"""One turn of the reporter: take the lease, bring in what lies about, fold it, report, and, for `push`, send it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from reporter import __version__, state
from reporter.config.model import Config
from reporter.errors import LeaseHeld
from reporter.exposition import render, validate
from reporter.family import Family, Sample
from reporter.fold import FoldResult, FoldRules, fold
from reporter.ingest import ingest_spool
from reporter.lease import Lease, acquire, release
from reporter.metrics import REGRESSIONS_HELD, families
from reporter.publish.ledger import Ledger, Prepared, load, prepare, save
from reporter.publish.pushgateway import Gateway, put
from reporter.report.build import build, remember_label_values
from reporter.report.model import Report
from reporter.retention import Pruned, Retention, prune
from reporter.sinks.spool import directories_for
from reporter.store import Store


@contextmanager
def leased(store: Store, config: Config) -> Iterator[Lease]:
    """The lease, given back at the end.

    Raises:
        LeaseHeld: another reporter is at work.
    """
    lease = acquire(store, config.report.lease_ns)
    try:
        yield lease
    finally:
        release(store, lease)


def catch_up(
    store: Store, lease: Lease, config: Config, progress: Callable[[int], None] = lambda calls: None
) -> FoldResult:
    """Bring in the spool and fold everything new."""
    for directory in directories_for(config.database):
        ingest_spool(store, directory)
    jobs = config.jobs.items()
    rules = FoldRules(
        lost_after_ns=config.report.lost_after_ns,
        max_duration_ns={name: job.max_duration_ns for name, job in jobs if job.max_duration_ns is not None},
    )
    return fold(store, lease, config.slos, rules, progress=progress)


def make_report(store: Store, config: Config, as_of_ns: int, *, folded: bool) -> Report:
    """The report as of a moment, from what is folded."""
    with store.read() as connection:
        return build(
            connection,
            config.slos,
            as_of_ns=as_of_ns,
            windows_ns=config.report.windows_ns,
            labels=config.report.labels,
            max_values_per_label=config.report.max_values_per_label,
            folded=folded,
        )


def report(store: Store, config: Config, as_of_ns: int, *, fold_first: bool = True) -> Report:
    """Fold what is new, if nobody else is at it, and report."""
    if not fold_first:
        return make_report(store, config, as_of_ns, folded=False)
    try:
        with leased(store, config) as lease:
            catch_up(store, lease, config)
    except LeaseHeld:
        return make_report(store, config, as_of_ns, folded=False)
    return make_report(store, config, as_of_ns, folded=True)


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


def gateway_of(config: Config) -> Gateway:
    """The gateway of the configuration, its secrets read."""
    settings = config.pushgateway
    password = settings.read_password()
    cert = (
        (str(settings.client_cert), str(settings.client_key)) if settings.client_cert and settings.client_key else None
    )
    return Gateway(
        url=settings.url,
        grouping=settings.grouping,
        timeout_ns=settings.timeout_ns,
        auth=(settings.username, password or "") if settings.username else None,
        bearer_token=settings.read_bearer_token(),
        verify=str(settings.ca_file) if settings.ca_file else True,
        cert=cert,
    )


def push(store: Store, config: Config, as_of_ns: int, *, fold_first: bool = True, dry_run: bool = False) -> Pushed:
    """Fold, prune, report and PUT the whole truth, under the lease.

    Raises:
        LeaseHeld: another reporter is at work; nothing was done.
        PublishError: the gateway refused.
        PublishRetryLater: the gateway did not answer in time.
    """
    gateway = gateway_of(config)
    with leased(store, config) as lease:
        if fold_first:
            catch_up(store, lease, config)
            if not dry_run:
                prune_now(store, lease, config)
        began_ns = time.monotonic_ns()
        made = make_report(store, config, as_of_ns, folded=fold_first)
        seconds = (time.monotonic_ns() - began_ns) / 1e9
        with store.read() as connection:
            ledger = load(connection, gateway.group_url)
            held_before = state.get_integer(connection, "counter_regressions_held_total")
        sequence = ledger.sequence + 1

        def ready(held: int) -> Prepared:
            now_ns = time.time_ns()
            found = families(made, now_ns=now_ns, duration_seconds=seconds, sequence=sequence, version=__version__)
            regressions = Family(REGRESSIONS_HELD, (Sample((), held),))
            return prepare((*found, regressions), ledger, now_ns, config.pushgateway.new_series_delay_ns)

        held = ready(held_before).held
        prepared = ready(held_before + held)
        validate(prepared.families, config.pushgateway.grouping)
        body = render(prepared.families)
        attempts = 0
        if not dry_run:
            attempts = _send(store, lease, config, gateway, prepared, ledger, body, held)
        return Pushed(
            body=body,
            series=sum(family.series for family in prepared.families),
            sequence=sequence,
            attempts=attempts,
            held=held,
            new_series=len(prepared.new),
            report=made,
        )


def _send(
    store: Store,
    lease: Lease,
    config: Config,
    gateway: Gateway,
    prepared: Prepared,
    ledger: Ledger,
    body: bytes,
    held: int,
) -> int:
    """PUT it; the marks are kept before, so that no later push falls below what may have left, the acknowledgement after."""
    with store.write() as connection:
        lease.renew(connection)
        save(connection, gateway.group_url, Ledger(ledger.sequence + 1, prepared.marks, ledger.since_ns), None)
        remember_label_values(connection, config.report.labels, config.report.max_values_per_label)
        if held:
            state.add(connection, "counter_regressions_held_total", held)
    attempts = put(gateway, lambda: body)
    now_ns = time.time_ns()
    since_ns = {key: ledger.since_ns.get(key, now_ns) for key in prepared.marks}
    with store.write() as connection:
        save(connection, gateway.group_url, Ledger(ledger.sequence + 1, prepared.marks, since_ns), now_ns)
    return attempts


def openmetrics(made: Report, seconds: float) -> bytes:
    """The report as OpenMetrics text, counters as they truly are."""
    found: tuple[Family, ...] = families(
        made, now_ns=time.time_ns(), duration_seconds=seconds, sequence=0, version=__version__
    )
    validate(found)
    return render(found, openmetrics=True)
