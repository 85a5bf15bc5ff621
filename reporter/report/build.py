"""The report: tallies as of one minute become SLOs, call statistics, jobs and totals.

`build` reads within one snapshot, so all its numbers are of one moment; nothing here asks the clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, text

from reporter import state
from reporter.bounds import SPEED_SCALE
from reporter.config.money import CostBudget
from reporter.report.budgets import read_budgets
from reporter.report.calls import read_calls
from reporter.report.events import EventReader
from reporter.report.jobs import ever_counted, read_job_counts, read_job_totals, read_jobs
from reporter.report.json_form import moment
from reporter.report.labels import Groups, Labels, read_groups
from reporter.report.model import ActiveCalls, CallTotals, HistogramTotal, Report, SelfStatus, SLOStatus
from reporter.report.slos import OutOfReach, read_slos
from reporter.report.windows import round_up, spans
from reporter.schedule.expectation import Expectation
from reporter.slo.durations import format_duration
from reporter.slo.exclusions import Exclusion
from reporter.slo.spec import SLO
from reporter.tally import MINUTE_NS, TOTAL_SUMS, Series


def build(
    connection: Connection,
    slos: Sequence[SLO],
    budgets: Sequence[CostBudget] = (),
    *,
    as_of_ns: int,
    windows_ns: Sequence[int],
    labels: Sequence[str],
    max_values_per_label: int,
    exclusions: Sequence[Exclusion] = (),
    expected: Mapping[str, Expectation] | None = None,
    folded: bool = True,
) -> Report:
    """What is known at `as_of_ns`, rounded up to the whole minute.

    `windows_ns` are the windows every report has; each SLO's own are added for it.  `labels` are the columns of
    `tally.Series` that calls are shown by.  `expected` is what jobs are compared with.
    """
    end = round_up(as_of_ns)
    out_of_reach: OutOfReach = {}
    events = EventReader(connection, end, exclusions)
    counted = read_slos(events, slos, end, windows_ns, out_of_reach)
    lengths = _within_reach(events, end, sorted(windows_ns), out_of_reach)
    notes = [*_pruned_away(events, out_of_reach), *_counted_in_part(counted)]
    groups = read_groups(connection, labels, max_values_per_label)
    expected = expected or {}
    job_totals, job_counts = read_job_totals(connection), read_job_counts(connection, expected)
    return Report(
        as_of_ns=end * MINUTE_NS,
        slos=counted,
        calls=read_calls(connection, groups, end, lengths),
        jobs=read_jobs(connection, end * MINUTE_NS, job_totals, job_counts, expected),
        budgets=read_budgets(connection, budgets, end, lengths, notes),
        exclusions=_touching(exclusions, counted, end),
        totals=_totals(connection, groups),
        job_totals=ever_counted(job_totals),
        job_counts=job_counts,
        active=_active(connection, groups),
        self_status=_self_status(connection, groups, folded),
        notes=tuple(notes),
    )


_RESOLUTION_NAMES = {1: "minutes", 60: "hours", 1440: "days"}


def _within_reach(events: EventReader, end: int, lengths: Sequence[int], out_of_reach: OutOfReach) -> list[int]:
    """The windows that can be put together exactly, read as they are inside one another; others are `out_of_reach`."""
    reachable: list[int] = []
    for length in lengths:
        own = [span for span in spans(end, [*reachable, length]) if span.window == len(reachable)]
        gone = [span.resolution for span in own if span.first < events.pruned_before(span.resolution)]
        if not gone:
            reachable.append(length)
        elif format_duration(length) not in out_of_reach.setdefault(min(gone), []):
            out_of_reach[min(gone)].append(format_duration(length))
    return reachable


def _pruned_away(events: EventReader, out_of_reach: OutOfReach) -> Iterator[str]:
    for resolution, windows in sorted(out_of_reach.items()):
        name, since = _RESOLUTION_NAMES[resolution], moment(events.pruned_before(resolution) * MINUTE_NS)
        yield (
            f"left out: {', '.join(windows)}, for which tallies of {name} from before {since} would be needed; they were"
            f" pruned (retention.{name})"
        )


def _counted_in_part(slos: Sequence[SLOStatus]) -> Iterator[str]:
    """Which windows reach back beyond what their SLO, new or changed, could be counted from."""
    for slo in slos:
        since_ns = slo.counted_from_ns
        if since_ns is not None:
            short = [label for label, window in slo.windows.items() if window.start_ns < since_ns]
            if short:
                yield (
                    f"{slo.slo} is new or changed and counts from {moment(since_ns)} on, because older raw calls were pruned"
                    f" (retention.calls): {', '.join(short)} may lack some"
                )


def _touching(exclusions: Sequence[Exclusion], slos: Sequence[SLOStatus], end: int) -> tuple[Exclusion, ...]:
    """The exclusions that any SLO's windows notice."""
    return tuple(
        found
        for found in exclusions
        if found.first < end
        and any(
            found.covers(slo.slo) and found.end * MINUTE_NS > min(window.start_ns for window in slo.windows.values())
            for slo in slos
            if slo.windows
        )
    )


# ── totals, in flight, the reporter itself ──


def _totals(connection: Connection, groups: Groups) -> tuple[CallTotals, ...]:
    sums: dict[tuple[Labels, bool, str], dict[str, int]] = {}
    counts: dict[tuple[Labels, bool, str], dict[str, list[int]]] = {}
    for row in connection.execute(text("SELECT * FROM totals")).mappings():
        key = (*groups.by_series[row["series_id"]], groups.shown_status(row["status"]))
        summed = sums.setdefault(key, dict.fromkeys(TOTAL_SUMS, 0))
        for name in TOTAL_SUMS:
            summed[name] += row[name]
        counted = counts.setdefault(key, {})
        for name in ("duration_counts", "ttft_counts", "speed_counts"):
            added = json.loads(row[name])
            counted[name] = [a + b for a, b in zip(counted.get(name, [0] * len(added)), added, strict=True)]
    return tuple(_call_totals(key, sums[key], counts[key]) for key in sorted(sums))


def _call_totals(
    key: tuple[Labels, bool, str], sums: Mapping[str, int], counts: Mapping[str, Sequence[int]]
) -> CallTotals:
    labels, llm, status = key
    return CallTotals(
        labels=labels,
        status=status,
        llm=llm,
        calls=sums["calls"],
        unpriced=sums["unpriced"],
        input_tokens=sums["input_tokens"],
        cache_read_tokens=sums["cache_read_tokens"],
        cache_write_tokens=sums["cache_write_tokens"],
        output_tokens=sums["output_tokens"],
        reasoning_tokens=sums["reasoning_tokens"],
        cost_nanousd=sums["cost_nanousd"],
        durations=HistogramTotal(
            counts=tuple(counts["duration_counts"]), sum_scaled=sums["duration_sum_ns"], scale=10**9
        ),
        ttfts=HistogramTotal(counts=tuple(counts["ttft_counts"]), sum_scaled=sums["ttft_sum_ns"], scale=10**9),
        speeds=HistogramTotal(counts=tuple(counts["speed_counts"]), sum_scaled=sums["speed_sum"], scale=SPEED_SCALE),
    )


def _active(connection: Connection, groups: Groups) -> tuple[ActiveCalls, ...]:
    """Calls in flight, and 0 for every other group, so that a gauge falls back instead of vanishing."""
    active: dict[tuple[Labels, bool], int] = dict.fromkeys(groups.by_series.values(), 0)
    labels = [label for label, _ in next(iter(active))[0]] if active else list(Series._fields)
    for row in connection.execute(
        text(
            "SELECT coalesce(batch_job, '') AS batch_job, operation, coalesce(provider, '') AS provider,"
            " coalesce(model, '') AS model, count(*) AS calls FROM starts"
            " WHERE NOT EXISTS (SELECT 1 FROM calls WHERE folded IN (0, 1) AND calls.call_id = starts.call_id)"
            " GROUP BY batch_job, operation, provider, model"
        )
    ).mappings():
        key = (tuple((label, groups.shown(label, row[label])) for label in labels), bool(row["model"]))
        active[key] = active.get(key, 0) + row["calls"]
    return tuple(ActiveCalls(labels=key[0], llm=key[1], calls=calls) for key, calls in sorted(active.items()))


def _counted(connection: Connection, name: str) -> int | None:
    value = state.get(connection, name)
    return None if value is None else int(value)


def _self_status(connection: Connection, groups: Groups, folded: bool) -> SelfStatus:
    troubles: Iterable[tuple[str, int]] = (
        (row.trouble, int(row.occurrences))
        for row in connection.execute(
            text("SELECT trouble, sum(occurrences) AS occurrences FROM troubles GROUP BY trouble ORDER BY trouble")
        )
    )
    return SelfStatus(
        calls_folded=state.get_integer(connection, "calls_folded_total"),
        lost_calls=state.get_integer(connection, "lost_calls_total"),
        bad_lines=state.get_integer(connection, "bad_lines_total"),
        troubles=dict(troubles),
        series_capped=groups.capped,
        late_ticks=_counted(connection, state.LATE_TICKS),
        missed_ticks=_counted(connection, state.MISSED_TICKS),
        folded=folded,
    )
