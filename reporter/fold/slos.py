"""SLOs: known ones go on, changed ones are counted again from the raw calls that are left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text

from reporter import state
from reporter.fold.rows import Rows, store_verdicts
from reporter.lease import Lease
from reporter.slo.spec import SLO
from reporter.store import Store
from reporter.tally import MINUTE_NS, Judge, Judged, Series, Verdicts

_CHUNK = 20_000
_COLUMNS = (
    "call_id", "ended_at_ns", "batch_job", "operation", "provider", "model", "status", "error_type", "stream", "duration_ns",
    "ttft_ns", "output_tokens", "cost_nanousd",
)  # fmt: skip


def register_slos(opened: Store, lease: Lease, slos: Sequence[SLO], now_ns: int) -> list[tuple[int, SLO]]:
    """The id of each SLO; what is new, or counts other calls than before, is counted from the raw calls first.

    Reading all calls takes long, so it happens outside the transaction that keeps the result: nobody folds without the
    lease, and a recount that lost it keeps nothing.
    """
    with opened.read() as connection:
        known = _known(connection)
    fresh = [slo for slo in slos if (slo.name, slo.fingerprint) not in known]
    current = {(slo.name, slo.fingerprint) for slo in slos}
    retired = [slo_id for key, slo_id in known.items() if key not in current]
    if not fresh and not retired:
        return [(known[slo.name, slo.fingerprint], slo) for slo in slos]
    verdicts = Verdicts([(-1 - index, slo) for index, slo in enumerate(fresh)])
    if fresh:
        for calls in _folded_calls(opened, lease):
            _judge(calls, verdicts)
    with opened.write() as connection:
        lease.renew(connection)
        ids = {-1 - index: _insert(connection, slo) for index, slo in enumerate(fresh)}
        store_verdicts(connection, verdicts.renumbered(ids))
        for slo_id, slo in zip(ids.values(), fresh, strict=True):
            before = _counters(connection, slo.name, slo_id)
            if before is not None:  # its counters carry on from where the old definition left them
                connection.execute(
                    text("UPDATE slos SET good = :good, bad = :bad WHERE slo_id = :id"),
                    {"good": before[0], "bad": before[1], "id": slo_id},
                )
        for slo_id in retired:
            connection.execute(
                text("UPDATE slos SET retired_at_ns = :n WHERE slo_id = :id"), {"n": now_ns, "id": slo_id}
            )
            for table in ("slo_tallies", "slo_minutes"):
                connection.execute(text(f"DELETE FROM {table} WHERE slo_id = :id"), {"id": slo_id})
        known = _known(connection)
    return [(known[slo.name, slo.fingerprint], slo) for slo in slos]


def _known(connection: Connection) -> dict[tuple[str, str], int]:
    rows = connection.execute(text("SELECT slo_id, name, fingerprint FROM slos WHERE retired_at_ns IS NULL"))
    return {(row.name, row.fingerprint): int(row.slo_id) for row in rows}


def _insert(connection: Connection, slo: SLO) -> int:
    """A new SLO; raw calls from before the retention's edge are gone, which its reports will say."""
    pruned_ns = state.get_integer(connection, "calls_pruned_before_ns")
    return int(
        connection.execute(
            text(
                "INSERT INTO slos (name, fingerprint, counted_from_ns, good, bad)"
                " VALUES (:name, :fingerprint, :since, 0, 0) RETURNING slo_id"
            ),
            {"name": slo.name, "fingerprint": slo.fingerprint, "since": pruned_ns or None},
        ).scalar_one()
    )


def _counters(connection: Connection, name: str, newer_than: int) -> tuple[int, int] | None:
    """Where the counters of the last definition under this name stand."""
    row = connection.execute(
        text("SELECT good, bad FROM slos WHERE name = :name AND slo_id < :id ORDER BY slo_id DESC LIMIT 1"),
        {"name": name, "id": newer_than},
    ).first()
    return None if row is None else (row.good, row.bad)


def _folded_calls(opened: Store, lease: Lease) -> Iterator[list[tuple[Any, ...]]]:
    """Every call folded so far, a chunk at a time; those not folded yet come by the ordinary way."""
    after = ""
    while True:
        with opened.read() as connection:
            cursor = Rows(connection).cursor
            mark = "?" if opened.dialect == "sqlite" else "%s"
            cursor.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM calls WHERE folded = 1 AND call_id > {mark}"
                f" ORDER BY call_id LIMIT {_CHUNK}",
                (after,),
            )
            calls = cursor.fetchall()
        if calls:
            yield calls
        if len(calls) < _CHUNK:
            return
        after = calls[-1][0]
        with opened.write() as connection:
            lease.renew(connection)


def _judge(calls: Sequence[tuple[Any, ...]], verdicts: Verdicts) -> None:
    judges: dict[tuple[Any, ...], list[Judge]] = {}
    judged = Judged()
    for _, ended_at_ns, batch_job, operation, provider, model, *rest in calls:
        key = (batch_job, operation, provider, model)
        if key not in judges:
            judges[key] = verdicts.judges(Series(batch_job or "", operation, provider or "", model or ""))
        if not judges[key]:
            continue
        (
            judged.status, judged.error_type, judged.stream, judged.duration_ns, judged.ttft_ns, judged.output_tokens,
            judged.cost_nanousd,
        ) = rest  # fmt: skip
        for judge, good, bad in judges[key]:
            verdict = judge(judged)
            if verdict is not None:
                (good if verdict else bad)(ended_at_ns // MINUTE_NS)
