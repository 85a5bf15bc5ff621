"""The fold: each new fact is counted exactly once, however many reporters run and wherever one dies.

    spool files → rows            (`reporter.ingest`)
    starts that ran out → lost calls; runs that ran out → lost runs
    corrections → the lost call taken back, the true one counted
    new calls → priced, added to tallies and totals, and marked, in one transaction a chunk

Every transaction renews the lease first (`reporter.lease`), so a reporter that lost it commits nothing.  What is new is known
by the mark on the row itself (`folded_at_ns`), not by "id > last seen", which loses rows that commit late on Postgres;
SQLite's writers commit in rowid order, so there the last folded rowid only saves looking at the older ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from reporter import schema, state
from reporter.lease import Lease
from reporter.pricing import PriceList, Usage
from reporter.sketch import encode
from reporter.slo.spec import SLO
from reporter.store import Store
from reporter.tally import SUMS, TOTAL_SUMS, FoldedCall, Series, Tallies, Tally, Total

CHUNK = 20_000
_SELECT = ", ".join(FoldedCall._fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldResult:
    """What one fold did."""

    calls: int
    lost_calls: int
    corrected_calls: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRules:
    """What decides when something counts as lost: ns, and max_duration by job."""

    lost_after_ns: int = 3600 * 10**9
    run_lost_after_ns: int = 24 * 3600 * 10**9
    max_duration_ns: Mapping[str, int] | None = None


def fold(
    store: Store,
    lease: Lease,
    slos: Sequence[SLO],
    rules: FoldRules,
    *,
    now_ns: int | None = None,
    progress: Callable[[int], None] = lambda calls: None,
) -> FoldResult:
    """Count all that is new as of `now_ns` (wall clock); `progress` hears how many calls each chunk had.

    Raises:
        LeaseHeld: the lease ran out meanwhile; what was committed before stays counted.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    prices = PriceList()
    with store.write() as connection:
        lease.renew(connection)
        counted = _register_slos(connection, slos, now_ns)
        runs = _fold_runs(connection, rules, now_ns)
        lost = _declare_lost(connection, rules, now_ns)
        corrected = _fold_corrections(connection, counted, prices, now_ns)
    folded = 0
    while True:
        with store.write() as connection:
            lease.renew(connection)
            calls = _fold_chunk(connection, counted, prices, now_ns)
        folded += calls
        progress(calls)
        if calls < CHUNK:
            return FoldResult(calls=folded, lost_calls=lost, corrected_calls=corrected, runs=runs)


def pending(connection: Connection) -> int:
    """How many calls wait to be folded."""
    return int(connection.execute(text(f"SELECT count(*) FROM calls WHERE {_unfolded(connection)}")).scalar_one())


def _unfolded(connection: Connection) -> str:
    if connection.dialect.name == "sqlite":
        return f"folded_at_ns IS NULL AND seq > {state.get_integer(connection, 'folded_seq')}"
    return "folded_at_ns IS NULL"


def _fold_chunk(connection: Connection, slos: Sequence[tuple[int, SLO]], prices: PriceList, now_ns: int) -> int:
    rows = connection.exec_driver_sql(
        f"SELECT {_SELECT} FROM calls WHERE {_unfolded(connection)} ORDER BY seq LIMIT {CHUNK}"
    ).fetchall()
    if not rows:
        return 0
    tallies = Tallies(slos)
    marks = []
    for row in rows:
        call = FoldedCall._make(row)
        cost_nanousd, source = _price(call, prices)
        if (
            cost_nanousd != call.cost_nanousd
        ):  # SLOs judge what the call cost, not what the row said before it was priced
            call = call._replace(cost_nanousd=cost_nanousd)
        tallies.add(call, cost_nanousd)
        marks.append((now_ns, cost_nanousd, source, call.seq))
    _mark(connection, marks)
    _store(connection, tallies)
    state.add(connection, "calls_folded_total", len(rows))
    if connection.dialect.name == "sqlite":
        state.put(connection, "folded_seq", str(rows[-1][0]))
    return len(rows)


def _price(call: FoldedCall, prices: PriceList) -> tuple[int | None, str | None]:
    if call.cost_nanousd is not None:
        return call.cost_nanousd, call.cost_source or "reported"
    if call.model is None:
        return None, None
    usage = Usage(
        call.input_tokens,
        call.cache_read_tokens,
        call.cache_write_tokens,
        call.cache_write_1h_tokens,
        call.output_tokens,
    )
    return prices.price(call.provider, call.model, call.ended_at_ns, usage)


def _mark(connection: Connection, marks: list[tuple[int, int | None, str | None, int]]) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            "UPDATE calls SET folded_at_ns = ?, cost_nanousd = ?, cost_source = ? WHERE seq = ?", marks
        )
        return
    _, costs, sources, seqs = zip(*marks, strict=True)
    connection.exec_driver_sql(
        "UPDATE calls SET folded_at_ns = %s, cost_nanousd = m.cost, cost_source = m.source"
        " FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS m (seq, cost, source) WHERE calls.seq = m.seq",
        (marks[0][0], list(seqs), list(costs), list(sources)),
    )


# ── sums into rows ──


def _store(connection: Connection, tallies: Tallies) -> None:
    ids = _series_ids(connection, {series for _, series in tallies.minutes})
    cursor = connection.connection.cursor()  # the driver's own: SQLAlchemy's statements cost more than SQLite's work
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    for resolution, bucket, series, tally in tallies.buckets():
        _add_tally(cursor, mark, (resolution, bucket, ids[series]), tally)
    cursor.close()
    for (series, label), total in tallies.totals.items():
        _add_total(connection, ids[series], label, total)
    _add_slo_tallies(connection, tallies)
    if tallies.lost:
        state.add(connection, "lost_calls_total", tallies.lost)


def _sql(connection: Connection, statement: str) -> str:
    """`?` for the driver at hand; no statement here has another use for it."""
    return statement if connection.dialect.name == "sqlite" else statement.replace("?", "%s")


def _series_ids(connection: Connection, wanted: set[Series]) -> dict[Series, int]:
    names = "batch_job, operation, provider, model"
    insert = _sql(connection, f"INSERT INTO series ({names}) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
    find = _sql(
        connection,
        "SELECT series_id FROM series WHERE batch_job = ? AND operation = ? AND provider = ? AND model = ?",
    )
    ids = {}
    for series in sorted(wanted):
        row = connection.exec_driver_sql(find, tuple(series)).first()
        if row is None:
            connection.exec_driver_sql(insert, tuple(series))
            row = connection.exec_driver_sql(find, tuple(series)).one()
        ids[series] = int(row[0])
    return ids


_TALLY_COLUMNS = schema.columns("tallies")
_SKETCHES = _TALLY_COLUMNS[3 + len(SUMS) :]


def _add_tally(cursor: Any, mark: str, key: tuple[int, int, int], tally: Tally) -> None:
    where = f"WHERE resolution = {mark} AND bucket = {mark} AND series_id = {mark}"
    cursor.execute(f"SELECT {', '.join(_SKETCHES)} FROM tallies {where}", key)
    stored = cursor.fetchone()
    known = (None, None, None) if stored is None else tuple(bytes(s) if s is not None else None for s in stored)
    sketches = tuple(
        encode(bins, before) if bins else before
        for bins, before in zip((tally.durations, tally.ttfts, tally.speeds), known, strict=True)
    )
    if stored is None:
        marks = ", ".join([mark] * len(_TALLY_COLUMNS))
        cursor.execute(
            f"INSERT INTO tallies ({', '.join(_TALLY_COLUMNS)}) VALUES ({marks})", (*key, *tally.sums, *sketches)
        )
        return
    added = ", ".join(f"{name} = {name} + {mark}" for name in SUMS)
    replaced = ", ".join(f"{name} = {mark}" for name in _SKETCHES)
    cursor.execute(f"UPDATE tallies SET {added}, {replaced} {where}", (*tally.sums, *sketches, *key))


_TOTAL_COUNTS = ("duration_counts", "ttft_counts", "speed_counts")


def _add_total(connection: Connection, series_id: int, label: str, total: Total) -> None:
    counts = [getattr(total, name) for name in _TOTAL_COUNTS]
    stored = connection.exec_driver_sql(
        _sql(connection, f"SELECT {', '.join(_TOTAL_COUNTS)} FROM totals WHERE series_id = ? AND status = ?"),
        (series_id, label),
    ).first()
    if stored is not None:
        counts = [
            [a + b for a, b in zip(json.loads(before), added, strict=True)]
            for before, added in zip(stored, counts, strict=True)
        ]
    names = ("series_id", "status", *TOTAL_SUMS, *_TOTAL_COUNTS)
    updates = [f"{name} = totals.{name} + excluded.{name}" for name in TOTAL_SUMS]
    updates += [f"{name} = excluded.{name}" for name in _TOTAL_COUNTS]
    connection.exec_driver_sql(
        _sql(
            connection,
            f"INSERT INTO totals ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            f" ON CONFLICT (series_id, status) DO UPDATE SET {', '.join(updates)}",
        ),
        (series_id, label, *total.sums, *(json.dumps(count, separators=(",", ":")) for count in counts)),
    )


def _add_slo_tallies(connection: Connection, tallies: Tallies) -> None:
    rows = list(tallies.slo_buckets())
    if not rows:
        return
    connection.exec_driver_sql(
        _sql(
            connection,
            "INSERT INTO slo_tallies (resolution, bucket, slo_id, good, bad) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (resolution, bucket, slo_id) DO UPDATE"
            " SET good = slo_tallies.good + excluded.good, bad = slo_tallies.bad + excluded.bad",
        ),
        rows,
    )
    sums: dict[int, list[int]] = {}
    for resolution, _, slo_id, good, bad in rows:
        if resolution == 1440:
            both = sums.setdefault(slo_id, [0, 0])
            both[0] += good
            both[1] += bad
    connection.exec_driver_sql(
        _sql(connection, "UPDATE slos SET good = good + ?, bad = bad + ? WHERE slo_id = ?"),
        [(good, bad, slo_id) for slo_id, (good, bad) in sums.items()],
    )


# ── SLOs: known ones go on, changed ones are recounted from the rows that are left ──


def _register_slos(connection: Connection, slos: Sequence[SLO], now_ns: int) -> list[tuple[int, SLO]]:
    known = {
        (row.name, row.fingerprint): row.slo_id
        for row in connection.execute(text("SELECT slo_id, name, fingerprint FROM slos WHERE retired_at_ns IS NULL"))
    }
    current = {(slo.name, slo.fingerprint) for slo in slos}
    new = []
    for slo in slos:
        if (slo.name, slo.fingerprint) in known:
            continue
        before = connection.execute(
            text("SELECT good, bad FROM slos WHERE name = :name ORDER BY slo_id DESC LIMIT 1"), {"name": slo.name}
        ).first()
        pruned_ns = state.get_integer(connection, "calls_pruned_before_ns")
        slo_id = connection.execute(
            text(
                "INSERT INTO slos (name, fingerprint, counted_from_ns, good, bad)"
                " VALUES (:name, :fingerprint, :since, 0, 0) RETURNING slo_id"
            ),
            {"name": slo.name, "fingerprint": slo.fingerprint, "since": pruned_ns or None},
        ).scalar_one()
        known[slo.name, slo.fingerprint] = slo_id
        new.append((slo_id, slo, before))
    for (name, fingerprint), slo_id in known.items():
        if (name, fingerprint) not in current:
            connection.execute(
                text("UPDATE slos SET retired_at_ns = :now WHERE slo_id = :id"), {"now": now_ns, "id": slo_id}
            )
            connection.execute(text("DELETE FROM slo_tallies WHERE slo_id = :id"), {"id": slo_id})
    if new:
        _recount(connection, [(slo_id, slo) for slo_id, slo, _ in new])
        for slo_id, _, before in new:
            if before is not None:  # its counters carry on from where the old definition left them
                connection.execute(
                    text("UPDATE slos SET good = :good, bad = :bad WHERE slo_id = :id"),
                    {"good": before.good, "bad": before.bad, "id": slo_id},
                )
    return [(known[slo.name, slo.fingerprint], slo) for slo in slos]


def _recount(connection: Connection, slos: Sequence[tuple[int, SLO]]) -> None:
    """Count rows folded before these SLOs were known; those not folded yet come by the ordinary way."""
    tallies = Tallies(slos)
    after = -1
    while True:
        rows = connection.exec_driver_sql(
            f"SELECT {_SELECT} FROM calls WHERE folded_at_ns IS NOT NULL AND seq > {after} ORDER BY seq LIMIT {CHUNK}"
        ).fetchall()
        for row in rows:
            call = FoldedCall._make(row)
            tallies.judge(call, call.ended_at_ns // (60 * 10**9), call.series)
        if len(rows) < CHUNK:
            break
        after = rows[-1][0]
    _add_slo_tallies(connection, tallies)


# ── what never ended, and what ended after all ──


def _fold_runs(connection: Connection, rules: FoldRules, now_ns: int) -> int:
    for row in connection.execute(
        text("SELECT run_id, batch_job, started_at_ns FROM runs WHERE status = 'running'")
    ).fetchall():
        limit_ns = (rules.max_duration_ns or {}).get(row.batch_job, rules.run_lost_after_ns)
        deadline_ns = row.started_at_ns + limit_ns
        if deadline_ns <= now_ns:
            connection.execute(
                text("UPDATE runs SET status = 'lost', ended_at_ns = :at WHERE run_id = :id AND status = 'running'"),
                {"at": deadline_ns, "id": row.run_id},
            )
    changed = connection.execute(
        text(
            "SELECT run_id, batch_job, status, folded_status FROM runs"
            " WHERE (folded_status IS NULL OR folded_status <> status) AND status <> 'running'"
        )
    ).fetchall()
    for row in changed:
        for status, runs in ((row.folded_status, -1), (row.status, 1)):
            if status is not None:
                connection.execute(
                    text(
                        "INSERT INTO job_totals (batch_job, status, runs) VALUES (:job, :status, :runs)"
                        " ON CONFLICT (batch_job, status) DO UPDATE SET runs = job_totals.runs + excluded.runs"
                    ),
                    {"job": row.batch_job, "status": status, "runs": runs},
                )
        connection.execute(
            text("UPDATE runs SET folded_status = :status WHERE run_id = :id"),
            {"status": row.status, "id": row.run_id},
        )
    return len(changed)


def _declare_lost(connection: Connection, rules: FoldRules, now_ns: int) -> int:
    """Starts that ended are forgotten; those past their deadline, or whose run is over, become lost calls."""
    connection.execute(
        text("DELETE FROM starts WHERE EXISTS (SELECT 1 FROM calls WHERE calls.call_id = starts.call_id)")
    )
    open_starts = connection.execute(
        text(
            "SELECT s.*, r.ended_at_ns AS run_ended_at_ns FROM starts s"
            " LEFT JOIN runs r ON r.run_id = s.run_id AND r.status <> 'running'"
        )
    ).fetchall()
    lost = 0
    for start in open_starts:
        deadline_ns = start.deadline_at_ns
        if deadline_ns is None:
            deadline_ns = start.started_at_ns + rules.lost_after_ns
        if start.run_ended_at_ns is not None:
            deadline_ns = min(deadline_ns, max(start.run_ended_at_ns, start.started_at_ns))
        if deadline_ns > now_ns:
            continue
        connection.execute(text("DELETE FROM starts WHERE call_id = :id"), {"id": start.call_id})
        lost += connection.execute(
            text(
                "INSERT INTO calls (call_id, ended_at_ns, started_at_ns, batch_job, run_id, operation, provider, model,"
                " status) VALUES (:call_id, :ended_at_ns, :started_at_ns, :batch_job, :run_id, :operation, :provider,"
                " :model, 'lost') ON CONFLICT (call_id) DO NOTHING"
            ),
            {
                **_named(start, ("call_id", "started_at_ns", "batch_job", "run_id", "operation", "provider", "model")),
                "ended_at_ns": deadline_ns,
            },
        ).rowcount
    return lost


def _named(row: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _fold_corrections(connection: Connection, slos: Sequence[tuple[int, SLO]], prices: PriceList, now_ns: int) -> int:
    """Take back lost calls whose end arrived after all, and count what truly happened."""
    names = [name for name in schema.CALL_COLUMNS if name != "call_id"]
    assignments = ", ".join(f"{name} = c.{name}" for name in names)
    waiting = connection.execute(text("SELECT call_id FROM corrections")).scalars().all()
    for call_id in waiting:
        find = text(f"SELECT {_SELECT}, folded_at_ns FROM calls WHERE call_id = :id AND status = 'lost'")
        lost = connection.execute(find, {"id": call_id}).first()
        if lost is not None:
            if lost.folded_at_ns is not None:
                tallies = Tallies(slos)
                tallies.add(FoldedCall._make(lost[:-1]), lost.cost_nanousd, sign=-1)
                _store(connection, tallies)
            connection.execute(
                text(
                    f"UPDATE calls SET {assignments} FROM corrections c WHERE calls.call_id = :id AND c.call_id = :id"
                ),
                {"id": call_id},
            )
            row = connection.execute(text(f"SELECT {_SELECT} FROM calls WHERE call_id = :id"), {"id": call_id}).one()
            if lost.folded_at_ns is not None:
                call = FoldedCall._make(row)
                cost_nanousd, source = _price(call, prices)
                tallies = Tallies(slos)
                tallies.add(call._replace(cost_nanousd=cost_nanousd), cost_nanousd)
                _store(connection, tallies)
                _mark(connection, [(now_ns, cost_nanousd, source, call.seq)])
        connection.execute(text("DELETE FROM corrections WHERE call_id = :id"), {"id": call_id})
    return len(waiting)
