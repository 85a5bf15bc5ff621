"""SLOs: known ones go on, changed ones are counted again from the raw calls that are left.

One that counts what another counts, or counted until now under another name, gets a copy of its tallies instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text

from reporter import state
from reporter.fold.rows import Rows, merge_verdicts, write
from reporter.fold.run_slos import copy_history, count_history, skip_history
from reporter.lease import Lease
from reporter.slo.indicators import CallIndicator
from reporter.slo.spec import SLO
from reporter.store import Store
from reporter.tally import JUDGED, Series, Verdicts

_CHUNK = 20_000
_COLUMNS = ("call_id", "batch_job", "operation", "provider", "model", *JUDGED)


Progress = Callable[[str, int, int], None]
"""Hears of work that may take long: what is counted, how many so far, how many in all."""


def unheard(what: str, counted: int, total: int) -> None:
    """Progress that nobody hears."""


def register_slos(
    opened: Store, lease: Lease, slos: Sequence[SLO], now_ns: int, progress: Progress
) -> list[tuple[int, SLO]]:
    """The id of each SLO; what counts calls as none did before is counted from the raw calls first.

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
    counted = {fingerprint: slo_id for (_, fingerprint), slo_id in known.items()}
    unknown = [slo for slo in fresh if slo.fingerprint not in counted and isinstance(slo.sli, CallIndicator)]
    verdicts = Verdicts([(-1 - index, slo) for index, slo in enumerate(unknown)])
    if unknown:
        judged, folded = 0, _count_folded(opened)
        progress("calls for new SLOs", 0, folded)
        for calls in _folded_calls(opened, lease):
            _judge(calls, verdicts)
            judged += len(calls)
            progress("calls for new SLOs", judged, folded)
    with opened.write() as connection:
        lease.renew(connection)
        ids = {slo.name: _insert(connection, slo, counted.get(slo.fingerprint)) for slo in fresh}
        for slo in fresh:
            if slo.fingerprint in counted:
                copy_history(connection, ids[slo.name], counted[slo.fingerprint])
            else:
                count_history(connection, ids[slo.name], slo)
        new = {-1 - index: ids[slo.name] for index, slo in enumerate(unknown)}
        write(connection, merge_verdicts(Rows(connection), verdicts.renumbered(new)))
        for name, slo_id in ids.items():
            before = _counters(connection, name, slo_id)
            if before is not None:  # its counters carry on from where the old definition left them
                connection.execute(
                    text("UPDATE slos SET good = :good, bad = :bad WHERE slo_id = :id"),
                    {"good": before[0], "bad": before[1], "id": slo_id},
                )
                skip_history(connection, slo_id, now_ns)
        for slo_id in retired:
            connection.execute(
                text("UPDATE slos SET retired_at_ns = :n WHERE slo_id = :id"), {"n": now_ns, "id": slo_id}
            )
            for table in ("slo_tallies", "slo_minutes"):
                connection.execute(text(f"DELETE FROM {table} WHERE slo_id = :id"), {"id": slo_id})
        known = _known(connection)
    return [(known[slo.name, slo.fingerprint], slo) for slo in slos]


def _known(connection: Connection) -> dict[tuple[str, str], int]:
    """The SLOs that are counted; of those with one fingerprint the one that counts from furthest back comes last."""
    rows = connection.execute(
        text(
            "SELECT slo_id, name, fingerprint FROM slos WHERE retired_at_ns IS NULL"
            " ORDER BY coalesce(counted_from_ns, 0) DESC, slo_id"
        )
    )
    return {(row.name, row.fingerprint): int(row.slo_id) for row in rows}


def _insert(connection: Connection, slo: SLO, like: int | None) -> int:
    """A new SLO's id: with the counts of the one it is `like`, else with none, and then calls that were pruned are missing."""
    if like is None:
        source = "CAST(:since AS BIGINT), 0, 0"
        since = state.get_integer(connection, "calls_pruned_before_ns") or None
    else:
        source, since = "counted_from_ns, good, bad FROM slos WHERE slo_id = :like", None
    slo_id = int(
        connection.execute(
            text(
                "INSERT INTO slos (name, fingerprint, counted_from_ns, good, bad)"
                f" SELECT CAST(:name AS TEXT), CAST(:fingerprint AS TEXT), {source} RETURNING slo_id"
            ),
            {"name": slo.name, "fingerprint": slo.fingerprint, "since": since, "like": like},
        ).scalar_one()
    )
    for table, columns in (("slo_tallies", "resolution, bucket, good, bad"), ("slo_minutes", "bucket, minutes")):
        connection.execute(
            text(
                f"INSERT INTO {table} (slo_id, {columns}) SELECT CAST(:id AS BIGINT), {columns} FROM {table}"
                " WHERE slo_id = :like"
            ),
            {"id": slo_id, "like": like},
        )
    return slo_id


def _counters(connection: Connection, name: str, newer_than: int) -> tuple[int, int] | None:
    """Where the counters of the last definition under this name stand."""
    row = connection.execute(
        text("SELECT good, bad FROM slos WHERE name = :name AND slo_id < :id ORDER BY slo_id DESC LIMIT 1"),
        {"name": name, "id": newer_than},
    ).first()
    return None if row is None else (row.good, row.bad)


def _count_folded(opened: Store) -> int:
    with opened.read() as connection:
        return int(connection.execute(text("SELECT count(*) FROM calls WHERE folded = 1")).scalar_one())


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
    by_series: dict[tuple[Any, ...], list[tuple[Any, ...]]] = defaultdict(list)
    for call in calls:
        by_series[call[1:5]].append(call[5:])
    for (batch_job, operation, provider, model), those in by_series.items():
        verdicts.judge(Series(batch_job or "", operation, provider or "", model or ""), those)
