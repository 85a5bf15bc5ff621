"""Batch jobs as their runs tell them, and as they stand by what is expected of them.

Counts are those of the fold, which no retention touches, less what became so at `as_of` or later.  Runs themselves are looked
up by job and start, all jobs in one query: one that ended after a moment began at most the longest run earlier, so few are
read of however many.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from reporter import state
from reporter.fold.ends import BACK, IS_UNFOLDED, LATEST_END, LONGEST_RUN
from reporter.fold.job_events import COUNTS, JUDGED_AT
from reporter.fold.some_runs import Runs, latest, watched
from reporter.report.model import JobStatus
from reporter.report.windows import round_up
from reporter.schedule.due import Observed
from reporter.schedule.expectation import Expectation
from reporter.schedule.standing import Judged, Ran, Standing, stand
from reporter.slo.durations import MINUTE_NS, UNITS_NS

LISTED_NS = 30 * UNITS_NS["d"]
"""How far back missed runs are listed."""
MOST_LISTED = 100
_TOLD = "started_at_ns, ended_at_ns, duration_ns, status, exit_code, items, scheduled_for_ns"
_DONE = "status NOT IN ('running', 'lost')"  # a lost run knows neither its length nor its outcome
_NOTHING = Expectation()


def read_job_totals(connection: Connection) -> dict[str, dict[str, int]]:
    """How many runs of each job ended since the beginning, by status, and how many were lost first (BACK)."""
    totals: dict[str, dict[str, int]] = {}
    for row in connection.execute(text("SELECT batch_job, status, runs FROM job_totals ORDER BY batch_job, status")):
        totals.setdefault(row.batch_job, {})[row.status] = row.runs
    return totals


def read_job_names(connection: Connection) -> list[str]:
    """Every job that ever ran or was expected to."""
    known = f"SELECT batch_job FROM job_totals UNION SELECT batch_job FROM runs WHERE {IS_UNFOLDED}"
    return list(connection.execute(text(f"{known} UNION SELECT batch_job FROM jobs")).scalars())


def ever_counted(totals: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """The same as counters that never fall: a run that was lost and ended after all is in both."""
    counters = {}
    for name, runs in totals.items():
        counters[name] = {status: count for status, count in runs.items() if status != BACK}
        if BACK in runs:
            counters[name]["lost"] = runs.get("lost", 0) + runs[BACK]
    return counters


def read_job_counts(connection: Connection, expected: Mapping[str, Expectation]) -> dict[str, dict[str, int]]:
    """What was counted of each job's runs since the beginning, by kind of event: kinds that are looked for."""
    counts = {}
    for row in connection.execute(text("SELECT * FROM jobs ORDER BY batch_job")).mappings():
        kinds = _looked_for(expected.get(row["batch_job"], _NOTHING))
        counts[row["batch_job"]] = {kind: row[column] for kind, column in COUNTS.items() if kind in kinds}
    return counts


def read_jobs_as_of(
    connection: Connection, as_of_ns: int, expected: Mapping[str, Expectation]
) -> tuple[JobStatus, ...]:
    """The jobs of a report as of that moment, and nothing else of it."""
    totals, counts = read_job_totals(connection), read_job_counts(connection, expected)
    return read_jobs(connection, round_up(as_of_ns) * MINUTE_NS, totals, counts, expected)


def _looked_for(expected: Expectation) -> set[str]:
    kinds = {"overrun"}
    if expected.schedule is not None:
        kinds |= {"missed", "late"}
    if expected.max_concurrent is not None:
        kinds.add("overlap")
    if expected.min_duration_ns is not None:
        kinds.add("too_fast")
    return kinds


def read_jobs(
    connection: Connection,
    as_of_ns: int,
    totals: Mapping[str, Mapping[str, int]],
    counts: Mapping[str, Mapping[str, int]],
    expected: Mapping[str, Expectation],
) -> tuple[JobStatus, ...]:
    """Every job that has started a run before `as_of_ns`, or was expected to by then, by name.

    `totals` and `counts` are those of all runs there ever were.
    """
    rows = connection.execute(text("SELECT * FROM jobs WHERE declared_at_ns <= :as_of"), {"as_of": as_of_ns})
    known = {row.batch_job: row for row in rows}
    declared = {name: row for name, row in known.items() if name in expected}
    unfolded = connection.execute(
        text(f"SELECT batch_job, started_at_ns, ended_at_ns FROM runs WHERE {IS_UNFOLDED}")
    ).fetchall()
    names = sorted({*totals, *declared, *(run.batch_job for run in unfolded)})
    runs = _read_runs(connection, names, unfolded, as_of_ns)
    events = _read_events(connection, as_of_ns, declared)
    observed = {name: as_of_ns for name, job in expected.items() if isinstance(job.schedule, Observed)}
    starts = watched(connection, observed, as_of_ns, "started_at_ns")
    judged_at_ns = state.get_integer(connection, JUDGED_AT)
    jobs = []
    for name in names:
        last = runs.last.get(name, [None])[0]
        ended = {status: n - runs.later[name].get(status, 0) for status, n in totals.get(name, {}).items()}
        ended.pop(BACK, None)
        if last is None and name not in declared and not any(ended.values()):
            continue  # its runs began later
        job, row = expected.get(name, _NOTHING), declared.get(name)
        judged = None
        if row is not None:
            judged = Judged(row.since_ns, row.judged_until_ns, row.next_due_at_ns, judged_at_ns)
        newest_ns = events.newest_missed(name, row)
        starts_ns = [run.started_at_ns for run in starts.get(name, ())]
        standing = stand(job, _ran(last, as_of_ns), starts_ns, newest_ns, judged, as_of_ns, events.missed.get(name, ()))
        counted = {kind: count - events.later[name][kind] for kind, count in counts.get(name, {}).items()}
        is_retired = name in known and name not in declared
        jobs.append(
            _status(name, runs, standing, ended, counted, events, is_declared=name in expected, is_retired=is_retired)
        )
    return tuple(jobs)


def _ran(last: Row[Any] | None, as_of_ns: int) -> Ran | None:
    if last is None:
        return None
    is_over = last.ended_at_ns is not None and last.ended_at_ns < as_of_ns
    ended_at_ns = last.ended_at_ns if is_over else None
    return Ran(last.started_at_ns, ended_at_ns, last.duration_ns, last.status, last.scheduled_for_ns)


# ── runs ──


@dataclass(frozen=True, slots=True)
class _JobRuns:
    """Of the runs of each job, as of the moment: the last started, the last that ended, the last success."""

    last: Runs
    done: Runs
    success: Runs
    running: Counter[str]
    later: Mapping[
        str, Mapping[str, int]
    ]  # how many of those that were counted ended at the moment or later, by status


def _read_runs(connection: Connection, names: Iterable[str], unfolded: Iterable[Row[Any]], as_of_ns: int) -> _JobRuns:
    folded_ns = state.get(connection, LONGEST_RUN)  # nothing is known before the first fold
    longest_ns = as_of_ns if folded_ns is None else int(folded_ns)
    ends_ns = [run.ended_at_ns for run in unfolded if run.ended_at_ns is not None]
    longest_ns = max([longest_ns, *(run.ended_at_ns - run.started_at_ns for run in unfolded if run.ended_at_ns)])
    last = latest(connection, dict.fromkeys(names, 0), as_of_ns, _TOLD, limit=2)
    ended = f"ended_at_ns < {as_of_ns} AND"
    done = {name: runs for name, runs in last.items() if _is_last_ended(runs, as_of_ns, longest_ns)}
    done |= _last_ended(connection, [*last.keys() - done.keys()], as_of_ns, longest_ns, f"{ended} {_DONE}")
    lacking = {name: runs for name, runs in done.items() if runs[0].status != "success"}
    success = done | _last_ended(connection, lacking, as_of_ns, longest_ns, f"{ended} status = 'success'")
    running = Counter(run.batch_job for run in unfolded if run.ended_at_ns is None and run.started_at_ns < as_of_ns)
    later: defaultdict[str, dict[str, int]] = defaultdict(dict)
    latest_end_ns = state.get(connection, LATEST_END)
    if latest_end_ns is None or max([int(latest_end_ns), *ends_ns]) >= as_of_ns:
        for row in _ended_later(connection, names, as_of_ns, longest_ns):
            running[row.batch_job] += int(row.running)
            if row.folded_status is not None:
                later[row.batch_job][row.folded_status] = row.runs
    return _JobRuns(
        last, done, {name: runs for name, runs in success.items() if runs[0].status == "success"}, running, later
    )


def _is_last_ended(runs: list[Row[Any]], as_of_ns: int, longest_ns: int) -> bool:
    """Whether, of the last two runs, the last one started is surely the last one of all that ended, with an outcome."""
    last = runs[0]
    if last.ended_at_ns is None or last.ended_at_ns >= as_of_ns or last.status in ("running", "lost"):
        return False
    return len(runs) == 1 or runs[1].started_at_ns < last.ended_at_ns - longest_ns


def _last_ended(
    connection: Connection, jobs: Iterable[str], as_of_ns: int, longest_ns: int, condition: str
) -> dict[str, list[Row[Any]]]:
    """Of the runs for which `condition` holds, the one that ended last: not always the last one started."""
    found = latest(connection, dict.fromkeys(jobs, 0), as_of_ns, _TOLD, condition=condition)
    since_ns = {name: runs[0].ended_at_ns - longest_ns for name, runs in found.items()}
    return dict(latest(connection, since_ns, as_of_ns, _TOLD, condition=condition, order="ended_at_ns"))


def _ended_later(connection: Connection, names: Iterable[str], as_of_ns: int, longest_ns: int) -> Iterable[Row[Any]]:
    """Runs that ended at the moment or later: how many of them had started, and what all were counted as, by job."""
    is_sqlite = connection.dialect.name == "sqlite"
    jobs = "SELECT value FROM json_each(:jobs)" if is_sqlite else "SELECT json_array_elements_text(CAST(:jobs AS json))"
    return connection.execute(
        text(
            "SELECT batch_job, folded_status, count(*) AS runs,"
            " sum(CASE WHEN started_at_ns < :as_of THEN 1 ELSE 0 END) AS running FROM runs"
            f" WHERE batch_job IN ({jobs}) AND started_at_ns >= :since AND ended_at_ns >= :as_of"
            " GROUP BY batch_job, folded_status"
        ),
        {"jobs": json.dumps([*names]), "as_of": as_of_ns, "since": as_of_ns - longest_ns},
    )


# ── what was judged ──


@dataclass(frozen=True, slots=True)
class _Events:
    missed: Mapping[str, list[int]]  # due times that no run made up for, in order
    skipped: Mapping[str, list[int]]  # due times at which no more runs might be under way, likewise
    long_ago: Mapping[str, int]  # the last one before those that are listed
    later: Mapping[str, Counter[str]]  # how many of those counted were so only at the moment or later

    def newest_missed(self, name: str, row: Row[Any] | None) -> int | None:
        """The last due time that was missed, by the schedule that is in force."""
        newest_ns = max([*self.missed[name][-1:], *filter(None, [self.long_ago.get(name)])], default=None)
        return newest_ns if newest_ns is not None and row is not None and newest_ns > row.since_ns else None


def _read_events(connection: Connection, as_of_ns: int, declared: Mapping[str, Row[Any]]) -> _Events:
    listed: dict[str, defaultdict[str, list[int]]] = {kind: defaultdict(list) for kind in ("missed", "skipped")}
    since_ns = as_of_ns - LISTED_NS
    is_open = "(made_up_at_ns IS NULL OR made_up_at_ns >= :as_of)"
    moments = {"as_of": as_of_ns, "since": since_ns}
    if declared:
        for row in connection.execute(
            text(
                "SELECT batch_job, kind, due_at_ns FROM job_events WHERE at_ns >= :since AND at_ns < :as_of"
                f" AND kind IN ('missed', 'skipped') AND {is_open} ORDER BY due_at_ns"
            ),
            moments,
        ):
            listed[row.kind][row.batch_job].append(row.due_at_ns)
    long_ago = {}
    if any(row.schedule is not None and row.judged_until_ns < since_ns for row in declared.values()):
        found = connection.execute(
            text(
                "SELECT batch_job, max(due_at_ns) AS due_at_ns FROM job_events"
                f" WHERE at_ns < :since AND kind = 'missed' AND {is_open} GROUP BY batch_job"
            ),
            moments,
        )
        long_ago = {row.batch_job: row.due_at_ns for row in found}
    later: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in connection.execute(
        text(
            "SELECT batch_job, kind, count(*) AS events FROM job_events WHERE at_ns >= :as_of GROUP BY batch_job, kind"
        ),
        {"as_of": as_of_ns},
    ):
        later[row.batch_job][row.kind] = row.events
    return _Events(listed["missed"], listed["skipped"], long_ago, later)


def _status(
    name: str,
    runs: _JobRuns,
    standing: Standing,
    ended: Mapping[str, int],
    counted: Mapping[str, int],
    events: _Events,
    *,
    is_declared: bool,
    is_retired: bool,
) -> JobStatus:
    last, done, success = (found.get(name, [None])[0] for found in (runs.last, runs.done, runs.success))
    return JobStatus(
        batch_job=name,
        state=standing.state,
        is_declared=is_declared,
        is_retired=is_retired,
        last_start_at_ns=None if last is None else last.started_at_ns,
        last_success_at_ns=None if success is None else success.ended_at_ns,
        last_completion_at_ns=None if done is None else done.ended_at_ns,
        next_run_at_ns=standing.next_run_at_ns,
        last_duration_seconds=None if done is None or done.duration_ns is None else done.duration_ns / 1e9,
        last_exit_code=None if done is None else done.exit_code,
        last_items=None if done is None else done.items,
        running=runs.running[name],
        missed_runs_at_ns=tuple(events.missed[name][-MOST_LISTED:]) if "missed" in counted else None,
        skipped_runs_at_ns=(
            tuple(events.skipped[name][-MOST_LISTED:]) if {"missed", "overlap"} <= counted.keys() else None
        ),
        late_runs=counted.get("late"),
        overlaps=counted.get("overlap"),
        too_fast_runs=counted.get("too_fast"),
        runs=sum(ended.values()),
        overruns=ended.get("timeout", 0) + counted.get("overrun", 0),
        lost_runs=ended.get("lost", 0),
        failed_runs=ended.get("failed", 0),
    )
