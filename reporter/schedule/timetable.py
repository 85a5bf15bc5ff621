"""Due times of one cron expression and one grace as columns, made once for all jobs that have both.  Pure.

Ten thousand jobs have a few hundred expressions between them: what is compared for each job and each due time is then one
bisection and one comparison, both inside the interpreter.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import compress, repeat
from operator import gt

from reporter.schedule.due import Cron, Due
from reporter.slo.durations import MINUTE_NS

EARLY_NS = MINUTE_NS
FOREVER_NS = 2**63 - 1


class Timetable:
    """The due times after a moment whose grace is over at another, at most so many, and the one that is next."""

    def __init__(self, cron: Cron, grace_ns: int, begin_ns: int, now_ns: int, most: int) -> None:
        self.cron, self.grace_ns = cron, grace_ns
        self.at_ns: list[int] = []
        self.over_ns: list[int] = []  # when the grace of each is over
        self.since_ns: list[int] = []  # runs from here on are of it, and before the next one's
        self.until_ns: list[int] = []
        self.next: Due | None = None
        dues = cron.after(begin_ns)
        due = next(dues, None)
        since_ns = 0 if due is None else due.at_ns - self._first_early_ns(due)
        while due is not None and due.latest_ns + grace_ns <= now_ns and len(self.at_ns) < most:
            following = next(dues, None)
            next_since_ns = until_ns = FOREVER_NS
            if following is not None:
                next_since_ns = until_ns = following.at_ns - min(EARLY_NS, (following.at_ns - due.at_ns) // 2)
            over_ns = due.latest_ns + grace_ns
            if due.latest_ns > due.at_ns:  # a later reading of it may be after the next one is due
                until_ns = max(until_ns, over_ns + 1)
            self.at_ns.append(due.at_ns)
            self.over_ns.append(over_ns)
            self.since_ns.append(since_ns)
            self.until_ns.append(until_ns)
            due, since_ns = following, next_since_ns
        self.next = due
        # a run of it is on time that starts before it is the next one's, and before the grace is over
        self._on_time_ns = [min(over, until - 1) for over, until in zip(self.over_ns, self.until_ns, strict=True)]

    def _first_early_ns(self, due: Due) -> int:
        return EARLY_NS // 2 if self.cron.is_due(due.at_ns - MINUTE_NS) else EARLY_NS

    def span(self, judged_until_ns: int, most: int) -> tuple[int, int]:
        """Between which places a job's due times are that are judged next."""
        first = bisect_right(self.at_ns, judged_until_ns)
        return first, min(len(self.at_ns), first + most)

    def due(self, place: int) -> Due | None:
        """The due time at a place, or the next one behind them."""
        if place == len(self.at_ns):
            return self.next
        return Due(self.at_ns[place], self.over_ns[place] - self.grace_ns)

    def without_run(self, first: int, end: int, starts_ns: Sequence[int]) -> Iterator[int]:
        """The places at which none of the starts, in order, is on time."""
        found = [*starts_ns, FOREVER_NS]
        places = map(bisect_left, repeat(found), self.since_ns[first:end])
        return compress(range(first, end), map(gt, map(found.__getitem__, places), self._on_time_ns[first:end]))

    def started_ns(self, place: int, starts_ns: Sequence[int]) -> list[int]:
        """The first of the starts, in order, that is of the due time at a place."""
        found = bisect_left(starts_ns, self.since_ns[place])
        return [start_ns for start_ns in starts_ns[found : found + 1] if start_ns < self.until_ns[place]]
