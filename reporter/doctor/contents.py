"""What is in the database: what recorders could not do, who folds, when it was last told, and what nothing was heard of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from difflib import get_close_matches

from sqlalchemy import Connection, text

from reporter import state
from reporter.config.model import Config
from reporter.doctor.finding import Finding, age, fail, ok, some, warn
from reporter.fold import TOLD_UNTIL
from reporter.lease import NAME, SERVE, now_ns_of
from reporter.tally import MINUTE_NS

_DAY_NS = 86_400 * 10**9
_STALE_NS = 5 * 60 * 10**9
"""When the generated alerts take a report for stale."""
_OFF_SECONDS, _FAR_OFF_SECONDS = 5, 60
"""From where on two clocks differ, and from where on minutes are told wrong."""


def examine_contents(connection: Connection, config: Config) -> Iterator[Finding]:
    """All of it, over one snapshot of a database at this program's schema."""
    now_ns = now_ns_of(connection)
    if connection.dialect.name != "sqlite":
        yield from examine_skew("database", (now_ns - time.time_ns()) / 1e9)
    yield from _recorders(connection, now_ns)
    yield from _folding(connection, now_ns)
    yield from _leases(connection, now_ns)
    yield from _reports(connection, now_ns)
    yield from _unheard_jobs(connection, config)
    yield from _unheard_slos(connection, config)
    yield from _unpriced(connection, now_ns)


def examine_skew(whose: str, ahead_seconds: float) -> Iterator[Finding]:
    """Whether a clock agrees with this machine's."""
    off = abs(ahead_seconds)
    told = f"the {whose}'s is {age(off)} {'ahead of' if ahead_seconds > 0 else 'behind'} this machine's"
    if off >= _FAR_OFF_SECONDS:
        yield fail("clock", told, "set both by NTP: calls count in the minute that the clock of their job says")
    elif off >= _OFF_SECONDS:
        yield warn("clock", told, "set both by NTP")
    else:
        yield ok("clock", f"the {whose}'s agrees with this machine's")


def _recorders(connection: Connection, now_ns: int) -> Iterator[Finding]:
    """Facts that jobs had to drop, and lines that nobody could read."""
    found = connection.execute(
        text(
            "SELECT trouble, sum(occurrences) AS occurrences, max(at_ns) AS at_ns FROM troubles GROUP BY trouble ORDER BY 1"
        )
    ).all()
    for row in found:
        told = f"{row.occurrences:,}× {row.trouble}, the latest {age((now_ns - row.at_ns) / 1e9)} ago"
        if now_ns - row.at_ns < _DAY_NS:
            yield warn(
                "recorders", told, "reporter sql 'SELECT * FROM troubles ORDER BY at_ns DESC LIMIT 20' says where"
            )
        else:
            yield ok("recorders", told)
    if not found:
        yield ok("recorders", "none dropped a fact")


def _folding(connection: Connection, now_ns: int) -> Iterator[Finding]:
    waiting, oldest_ns = connection.execute(text("SELECT count(*), min(ended_at_ns) FROM calls WHERE folded = 0")).one()
    hour = connection.execute(text("SELECT max(bucket) FROM tally_minutes")).scalar()
    if not waiting and hour is None:
        any_run = connection.execute(text("SELECT 1 FROM runs LIMIT 1")).scalar()
        told = "no call was recorded so far" + ("" if any_run is None else ", though runs were")
        yield warn("calls", told, "run a job with REPORTER_DATABASE_URL set to this database")
    elif waiting and now_ns - oldest_ns > 2 * _STALE_NS:
        yield fail(
            "calls", f"{waiting:,} wait to be counted, the oldest for {age((now_ns - oldest_ns) / 1e9)}",
            "run reporter push every minute, by cron, or reporter serve",
        )  # fmt: skip
    else:
        yield ok("calls", f"{waiting:,} wait to be counted" if waiting else "all are counted")
    if hour is not None and hour * MINUTE_NS > now_ns + 2 * 60 * MINUTE_NS:
        yield warn(
            "clock", f"a call ended {age(hour * 60 - now_ns / 1e9)} in the future: the clock of its machine is wrong",
            "reporter sql \"SELECT * FROM v_calls WHERE flags LIKE '%future%' LIMIT 20\" says whose",
        )  # fmt: skip


def _leases(connection: Connection, now_ns: int) -> Iterator[Finding]:
    """Who is at work; a lease that ran out is of one that died, and in nobody's way."""
    work = {NAME: "a push, report or prune is at work", SERVE: "reporter serve is at work"}
    for row in connection.execute(text("SELECT name, holder, expires_at_ns FROM leases ORDER BY name")).all():
        host, process, _ = row.holder.rsplit(":", 2)
        who = f"process {process} on {host}"
        if row.expires_at_ns > now_ns:
            yield ok("lease", f"{work.get(row.name, row.name)}: {who}")
        else:
            gone = age((now_ns - row.expires_at_ns) / 1e9)
            yield warn(
                "lease", f"{who} had it and did not give it back; it ran out {gone} ago, so nobody is kept away",
                "look why it died",
            )  # fmt: skip


def _reports(connection: Connection, now_ns: int) -> Iterator[Finding]:
    told_ns = state.get_integer(connection, TOLD_UNTIL)
    if not told_ns:
        yield warn("report", "nothing was pushed or shown so far", "reporter push, every minute; or reporter serve")
        return
    old_ns = now_ns - told_ns
    if old_ns > _STALE_NS:
        yield fail(
            "report", f"the latest that was pushed or shown is {age(old_ns / 1e9)} old",
            "run reporter push and read what it says; is its cron entry or reporter serve still there?",
        )  # fmt: skip
    else:
        yield ok("report", f"the latest that was pushed or shown is {age(old_ns / 1e9)} old")


def _unheard_jobs(connection: Connection, config: Config) -> Iterator[Finding]:
    """Jobs that are declared and never ran, often for a typing error."""
    ran = {row[0] for row in connection.execute(text("SELECT DISTINCT batch_job FROM runs")).all()}
    ran |= {row[0] for row in connection.execute(text("SELECT batch_job FROM job_totals")).all()}
    for name in sorted(config.jobs.keys() - ran):
        close = get_close_matches(name, sorted(ran - config.jobs.keys()), 1)
        like = f"; {close[0]} did, which is not declared" if close else ""
        yield warn(
            "jobs",
            f"{name} is declared and never ran{like}",
            "is it called so where it runs, and is that database this one?",
        )
    if config.jobs and not config.jobs.keys() - ran:
        yield ok(
            "jobs",
            f"each of the {len(config.jobs)} declared ones ran" if len(config.jobs) > 1 else "the declared one ran",
        )


def _unheard_slos(connection: Connection, config: Config) -> Iterator[Finding]:
    """SLOs that nothing was ever counted for, often for a `where` that matches nothing."""
    query = "SELECT name FROM slos WHERE retired_at_ns IS NULL AND good + bad > 0"
    counted = {row[0] for row in connection.execute(text(query)).all()}
    empty = [slo.name for slo in config.slos if slo.name not in counted]
    if empty:
        yield warn(
            "slos",
            f"nothing was counted so far for {some(empty)}",
            "does their where match any call? reporter check shows it",
        )
    elif config.slos:
        yield ok("slos", f"something was counted for each of {len(config.slos)}")


def _unpriced(connection: Connection, now_ns: int) -> Iterator[Finding]:
    """Models of the last month that nobody names a price of."""
    found = connection.execute(
        text(
            "SELECT s.provider, s.model, sum(t.unpriced) AS calls FROM tallies t JOIN series s ON s.series_id = t.series_id"
            " WHERE t.resolution = 1440 AND t.bucket >= :since GROUP BY s.provider, s.model"
            " HAVING sum(t.unpriced) > 0 ORDER BY 3 DESC, 2"
        ),
        {"since": (now_ns - 30 * _DAY_NS) // MINUTE_NS},
    ).all()
    if found:
        names = [f"{row.model} ({row.calls:,} calls)" for row in found]
        yield warn(
            "cost",
            f"no price in 30 days: {some(names)}",
            "reporter prices explain MODEL; reporter sql 'SELECT * FROM v_unpriced'",
        )
    else:
        yield ok("cost", "every call of the last 30 days that can have a price has one")
