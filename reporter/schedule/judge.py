"""What runs were in the light of what was expected: pure functions of due times, runs and a moment.

Each due time is judged once, when its grace is over.  The run of a due time is the one that says so (`scheduled_for`), else
the first that starts from it on (a little before, as clocks differ) until the next due time, and says of none.

it started by the end of the grace   on time
it started later                     missed within its grace, and made up for by a late run
none started                         missed

Where no more runs may be under way at once, and as many were when it was due, none could start: it was skipped, not missed.
A run that died was in nobody's way, although it was lost only later: what was skipped for it was missed.

A rhythm (`every`, `observed`) has no due times of its own: each start makes the next one, and a missed one does, too.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from reporter.schedule.due import Cron, Due, Every, Rhythm, Schedule
from reporter.schedule.expectation import Expectation
from reporter.schedule.timetable import EARLY_NS, Timetable
from reporter.slo.durations import MINUTE_NS


def early_ns(schedule: Schedule, due_ns: int) -> int:
    """How much earlier than due a run may start, by the clock of another machine say: half the interval at most."""
    if isinstance(schedule, Cron):  # the shortest interval there is, is a minute
        return EARLY_NS // 2 if schedule.is_due(due_ns - MINUTE_NS) else EARLY_NS
    return min(EARLY_NS, schedule.interval_ns // 2) if isinstance(schedule, Every) else EARLY_NS


class Start(NamedTuple):
    """The start of a run."""

    started_at_ns: int
    scheduled_for_ns: int | None = None


class Missed(NamedTuple):
    """A due time by the end of whose grace no run of it had started."""

    due_at_ns: int
    over_at_ns: int  # when its grace was over
    until_ns: int  # runs from here on are of the next due time
    made_up_at_ns: int | None  # when its run started after all
    kind: str = "missed"  # or "skipped": as many runs were under way as may be


class Judgement(NamedTuple):
    """How far a job's due times are judged."""

    judged_until_ns: int  # of a rhythm, from where on it goes on: the last start, or the last one missed
    next_due_at_ns: int | None  # the first that is not judged; None: there is none
    grace_over_at_ns: int | None  # when it can be
    missed: tuple[Missed, ...] = ()


def judge_cron(
    timetable: Timetable,
    judged_until_ns: int,
    starts_ns: Sequence[int],
    naming: Sequence[Start] = (),
    most: int = 1_000_000,
) -> Judgement:
    """Judge the due times of a timetable after `judged_until_ns`, at most so many.

    `starts_ns` are those of runs that name no due time, in order; `naming` are runs that name a moment.
    """
    first, end = timetable.span(judged_until_ns, most)
    named: defaultdict[int, list[int]] = defaultdict(list)
    others: list[int] = []
    for start in naming:
        due_ns = named_due(timetable.cron, start.scheduled_for_ns)
        (others if due_ns is None else named[due_ns]).append(start.started_at_ns)
    unnamed = sorted([*starts_ns, *others]) if others else starts_ns
    missed: list[Missed] = []
    for place in timetable.without_run(first, end, unnamed):
        due_ns, over_ns = timetable.at_ns[place], timetable.over_ns[place]
        found = min([*named.get(due_ns, ()), *timetable.started_ns(place, unnamed)], default=None)
        if found is None or found > over_ns:
            missed.append(Missed(due_ns, over_ns, timetable.until_ns[place], found))
    if end > first:
        judged_until_ns = timetable.at_ns[end - 1]
    return Judgement(judged_until_ns, *expect(timetable.due(end), timetable.grace_ns), tuple(missed))


def expect(due: Due | None, grace_ns: int) -> tuple[int | None, int | None]:
    """When a run is due, and when its grace is over."""
    return (None, None) if due is None else (due.at_ns, due.latest_ns + grace_ns)


def named_due(schedule: Schedule, scheduled_for_ns: int | None) -> int | None:
    """The due time that is meant by the moment that a run names, if there is one."""
    if scheduled_for_ns is None or not isinstance(schedule, Cron):
        return None
    return schedule.named(scheduled_for_ns)


def judge_rhythm(
    rhythm: Rhythm, grace_ns: int, judged_until_ns: int, starts_ns: Sequence[int], now_ns: int, most: int = 1_000_000
) -> Judgement:
    """As `judge_cron`, for a rhythm that goes on from `judged_until_ns`."""
    missed: list[Missed] = []
    last_ns, interval_ns = judged_until_ns, rhythm.interval_ns
    slack_ns = rhythm.longest_ns - interval_ns + grace_ns
    place = 0
    while True:
        while place < len(starts_ns) and starts_ns[place] <= last_ns:
            place += 1
        start_ns = starts_ns[place] if place < len(starts_ns) else None
        due_ns = last_ns + interval_ns
        over_ns = due_ns + slack_ns
        if start_ns is not None and start_ns <= over_ns:
            last_ns = start_ns
            continue
        if over_ns > now_ns or len(missed) == most:
            return Judgement(last_ns, due_ns, over_ns, tuple(missed))
        until_ns = due_ns + interval_ns
        made_up = start_ns if start_ns is not None and start_ns < until_ns else None
        missed.append(Missed(due_ns, over_ns, until_ns, made_up))
        last_ns = due_ns if made_up is None else made_up


def made_up_for(schedule: Schedule, open_: Sequence[Missed], start: Start) -> Missed | None:
    """Which of the missed due times of a job a run is of, if it came to be known only after they were judged.

    Those of a rhythm are where they would have been had no run before been even a second early or late, so a run is of the
    nearest one.
    """
    named = named_due(schedule, start.scheduled_for_ns)
    if named is not None:
        return next((missed for missed in open_ if missed.due_at_ns == named), None)
    started_ns = start.started_at_ns
    found = (missed for missed in open_ if _begin(schedule, missed) <= started_ns < missed.until_ns)
    if isinstance(schedule, Cron):
        return next(found, None)
    return min(found, key=lambda missed: abs(missed.due_at_ns - started_ns), default=None)


def is_late(schedule: Schedule, missed: Missed, started_at_ns: int, before_ns: int | None) -> bool:
    """Whether a run that made up for a missed due time started after its grace; `before_ns` is the start before it, if that
    came to be known together with it: a rhythm goes on from there, not from where it was thought to have started."""
    if started_at_ns <= missed.over_at_ns:
        return False
    if before_ns is None or isinstance(schedule, Cron):
        return True
    return started_at_ns - before_ns > missed.until_ns + missed.over_at_ns - 2 * missed.due_at_ns


def _begin(schedule: Schedule, missed: Missed) -> int:
    """From where on a run is of a due time that was missed."""
    if isinstance(schedule, Cron):
        return missed.due_at_ns - early_ns(schedule, missed.due_at_ns)
    return missed.due_at_ns - (missed.until_ns - missed.due_at_ns) // 2


class Span(NamedTuple):
    """A run, from its start to its end; None: it is under way."""

    started_at_ns: int
    run_id: str
    ended_at_ns: int | None


def overlapping(spans: Iterable[Span], max_concurrent: int) -> Iterator[Span]:
    """The runs that started while as many others, or more, were under way as may be at all."""
    ends: list[float] = []
    for span in sorted(spans, key=lambda span: span[:2]):
        while ends and ends[0] <= span.started_at_ns:
            heapq.heappop(ends)
        if len(ends) >= max_concurrent:
            yield span
        heapq.heappush(ends, float("inf") if span.ended_at_ns is None else span.ended_at_ns)


def skipped(
    schedule: Schedule, grace_ns: int, missed: Sequence[Missed], spans: Sequence[Span], max_concurrent: int
) -> list[Missed]:
    """The same, where those are "skipped" that were due, by any reading, while as many runs were under way as may be."""
    in_the_way = _in_the_way(spans, max_concurrent)
    starts_ns = sorted(start_ns for start_ns, _ in in_the_way)
    ends_ns = sorted(end_ns for _, end_ns in in_the_way)
    found = []
    for one in missed:
        latest_ns = max(one.due_at_ns, one.over_at_ns - grace_ns)  # by a grace that may be another by now
        readings_ns = {one.due_at_ns, latest_ns} if isinstance(schedule, Cron) else {one.due_at_ns}
        under_way = max(bisect_left(starts_ns, due_ns) - bisect_right(ends_ns, due_ns) for due_ns in readings_ns)
        found.append(one._replace(kind="skipped") if under_way >= max_concurrent else one)
    return found


def _in_the_way(spans: Iterable[Span], max_concurrent: int) -> list[tuple[int, float]]:
    """From when to when each run may have kept others from starting: until one started although there was no room.

    Then one of those had died, or is nobody's obstacle, and the oldest is taken for it.
    """
    found: list[tuple[int, float]] = []
    under_way: list[tuple[int, float]] = []
    for start_ns, _, end_ns in sorted(spans, key=lambda span: span[:2]):
        found += [one for one in under_way if one[1] <= start_ns]
        under_way = [one for one in under_way if one[1] > start_ns]
        if len(under_way) >= max_concurrent:
            found.append((under_way.pop(0)[0], start_ns))
        under_way.append((start_ns, float("inf") if end_ns is None else end_ns))
    return [(start_ns, end_ns) for start_ns, end_ns in found + under_way if end_ns > start_ns]


def pace(expected: Expectation, status: str, duration_ns: int | None) -> str | None:
    """ "overrun" where a run that ended took too long, "too_fast" where one succeeded too soon, else None.

    A run that was stopped because its time was up says so itself, with its status.
    """
    if duration_ns is None or status in ("running", "lost", "timeout"):
        return None
    if expected.max_duration_ns is not None and duration_ns > expected.max_duration_ns:
        return "overrun"
    if expected.min_duration_ns is not None and status == "success" and duration_ns < expected.min_duration_ns:
        return "too_fast"
    return None
