"""How a job stands at a moment: its state, and when its next run is due.  Pure.

missed    the grace of its last judged due time is over, and no run has started since it was due
running   a run is under way
failed, lost, overrun   what the last run was
late      a run has been due for a minute (or its grace, if that is shorter), has not started, and still has time to
ok        the last run succeeded
unknown   it never ran, and none was due yet

The first that holds is the state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reporter.schedule.due import READINGS_NS, Cron, Rhythm, Schedule, rhythm
from reporter.schedule.expectation import Expectation
from reporter.schedule.judge import early_ns, named_due, pace
from reporter.slo.durations import MINUTE_NS

_STATES = {"success": "ok", "failed": "failed", "timeout": "overrun", "lost": "lost"}


class Ran(NamedTuple):
    """A run as of the moment."""

    started_at_ns: int
    ended_at_ns: int | None  # None: it is under way
    duration_ns: int | None
    status: str
    scheduled_for_ns: int | None = None  # the moment that it names


class Judged(NamedTuple):
    """How far the due times of a job are judged, and when."""

    since_ns: int  # due times are those after this
    until_ns: int
    next_due_at_ns: int | None  # the first after `until_ns`
    at_ns: int  # the moment of judging


class Standing(NamedTuple):
    """A job at a moment."""

    state: str
    next_run_at_ns: int | None


def stand(
    expected: Expectation,
    last: Ran | None,
    starts_ns: Sequence[int],
    missed_due_ns: int | None,
    judged: Judged | None,
    as_of_ns: int,
    missed_ns: Sequence[int] = (),
) -> Standing:
    """A job as of `as_of_ns`.

    `last` is the run that started last, `starts_ns` the latest starts in order (a rhythm may be observed in them) and
    `missed_due_ns` the last due time that was missed and not made up for, `missed_ns` the latest ones, in order; all before
    `as_of_ns`.
    """
    state = outcome(expected, last)
    if judged is None or expected.schedule is None:
        return Standing(state, None)
    if missed_due_ns is not None and not _started_for(expected.schedule, last, missed_due_ns):
        state = "missed"
    now_ns = min(as_of_ns, judged.at_ns)
    if isinstance(expected.schedule, Cron):
        pending_ns = _pending(expected.schedule, expected.start_grace_ns, judged, now_ns)
        next_ns = _next_due(expected.schedule, judged, as_of_ns)
    else:
        observed = rhythm(expected.schedule, [*starts_ns], missed_ns)
        if observed is None:
            return Standing(state, None)
        began_ns = max(judged.since_ns, last.started_at_ns if last else 0)
        pending_ns = _pending_beat(observed, expected.start_grace_ns, began_ns, now_ns)
        next_ns = began_ns + -(-(as_of_ns - began_ns) // observed.interval_ns) * observed.interval_ns
        next_ns = max(next_ns, began_ns + observed.interval_ns)
    is_pending = pending_ns is not None and not _started_for(expected.schedule, last, pending_ns)
    return Standing("late" if is_pending and state in ("ok", "unknown") else state, next_ns)


def _started_for(schedule: Schedule, last: Ran | None, due_ns: int) -> bool:
    """Whether the last run is of a due time or a later one: the one that it names, else by when it started."""
    if last is None:
        return False
    named_ns = named_due(schedule, last.scheduled_for_ns)
    return last.started_at_ns >= due_ns - early_ns(schedule, due_ns) if named_ns is None else named_ns >= due_ns


def outcome(expected: Expectation, last: Ran | None) -> str:
    """What the run that started last says of its job, due or not."""
    if last is None:
        return "unknown"
    if last.ended_at_ns is None:
        return "running"
    state = _STATES.get(last.status, "unknown")
    if state != "ok":
        return state
    took_ns = last.ended_at_ns - last.started_at_ns if last.duration_ns is None else last.duration_ns
    return "overrun" if pace(expected, last.status, took_ns) == "overrun" else "ok"


def _pending(cron: Cron, grace_ns: int, judged: Judged, now_ns: int) -> int | None:
    """The last due time that a run should have started for, while its grace is not over."""
    due_by_ns = now_ns - min(MINUTE_NS, grace_ns)
    if judged.until_ns <= now_ns:
        if judged.next_due_at_ns is None or judged.next_due_at_ns > due_by_ns:
            return None
        begin_ns = judged.until_ns
    else:
        begin_ns = max(judged.since_ns, now_ns - grace_ns - (0 if cron.timezone == "UTC" else READINGS_NS))
    found = None
    for due in cron.after(begin_ns):
        if due.at_ns > due_by_ns:
            break
        if due.latest_ns + grace_ns > now_ns:
            found = due.at_ns
    return found


def _next_due(cron: Cron, judged: Judged, as_of_ns: int) -> int | None:
    if judged.until_ns < as_of_ns and judged.next_due_at_ns is not None and judged.next_due_at_ns >= as_of_ns:
        return judged.next_due_at_ns
    due = next(cron.after(as_of_ns - 1), None)
    return None if due is None else due.at_ns


def _pending_beat(beat: Rhythm, grace_ns: int, began_ns: int, now_ns: int) -> int | None:
    due_ns = began_ns + beat.interval_ns
    over_ns = due_ns + beat.longest_ns - beat.interval_ns + grace_ns
    return due_ns if due_ns <= now_ns - min(MINUTE_NS, grace_ns) and over_ns > now_ns else None


def streak(outcomes: Sequence[str]) -> int:
    """How many of the runs that ended last, first in `outcomes`, were alike: positive for successes, negative for others."""
    if not outcomes:
        return 0
    good = outcomes[0] == "success"
    alike = next((place for place, status in enumerate(outcomes) if (status == "success") != good), len(outcomes))
    return alike if good else -alike
