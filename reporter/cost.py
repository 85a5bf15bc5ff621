"""What calls cost, by whatever people ask it by: from tallies, so that a year costs no more to ask than a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import Connection

from reporter import state
from reporter.errors import ConfigError
from reporter.report.calls import read_calls
from reporter.report.labels import read_groups
from reporter.report.model import CallWindow
from reporter.report.windows import round_up
from reporter.retention import PRUNED_BEFORE
from reporter.slo.durations import format_duration
from reporter.tally import MINUTE_NS, RESOLUTIONS

BY = {"job": "batch_job", "model": "model", "provider": "provider", "operation": "operation", "day": "day"}
"""What people may ask by, and the column it is."""
_DAY_MINUTES = 1440
_ALL = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """Calls that have the same values of what was asked by."""

    values: Mapping[str, str]  # "" is absent
    window: CallWindow

    @property
    def cost_usd(self) -> float | None:
        """What is known of their cost; None when none of it is."""
        window = self.window
        return None if window.unpriced_calls and not window.cost_nanousd else window.cost_nanousd / 1e9

    @property
    def partial(self) -> bool:
        """Whether the cost leaves out calls that have no price."""
        return self.window.unpriced_calls > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The answer: rows, by day if that was asked, then the dearest first."""

    since_ns: int
    until_ns: int
    is_cut: bool
    """Whether more was asked: for the rest tallies were pruned, so that it can't be told exactly."""
    rows: tuple[CostRow, ...]

    @property
    def nanousd(self) -> int:
        return sum(row.window.cost_nanousd for row in self.rows)

    @property
    def cost_usd(self) -> float | None:
        """What is known of it; None when nothing is."""
        return None if self.unpriced_calls and not self.nanousd else self.nanousd / 1e9

    @property
    def calls(self) -> int:
        return sum(row.window.calls for row in self.rows)

    @property
    def unpriced_calls(self) -> int:
        return sum(row.window.unpriced_calls for row in self.rows)


def read_costs(connection: Connection, by: Sequence[str], *, as_of_ns: int, length_ns: int) -> Costs:
    """What the calls cost that ended in the last `length_ns` before `as_of_ns`, by the names in `by` (of BY); whole minutes.

    Where tallies were pruned, of what of that time can be told exactly.

    Raises:
        ConfigError: a name is none of BY, or there twice.
    """
    check_names(by)
    asked = (round_up(as_of_ns) - -(-length_ns // MINUTE_NS), round_up(as_of_ns))
    start, end = exact_part(connection, *asked)
    groups = read_groups(connection, [BY[name] for name in by if name != "day"], _ALL)
    rows = []
    spans = _days(start, end) if "day" in by else [(start, end)]
    for first, last in spans if start < end else ():
        length = (last - first) * MINUTE_NS
        for stats in read_calls(connection, groups, last, [length]):
            window = stats.windows[format_duration(length)]
            if not window.calls or not (stats.llm or window.cost_nanousd):
                continue  # calls to an API that tells no price cost nothing here
            told = {"day": datetime.fromtimestamp(first * 60, UTC).date().isoformat()}
            told |= {name: dict(stats.labels)[BY[name]] for name in by if name != "day"}
            rows.append(CostRow(values={name: told[name] for name in by}, window=window))
    rows.sort(key=lambda row: (row.values.get("day", ""), -row.window.cost_nanousd, *row.values.values()))
    return Costs(since_ns=start * MINUTE_NS, until_ns=end * MINUTE_NS, is_cut=(start, end) != asked, rows=tuple(rows))


def exact_part(connection: Connection, first: int, end: int) -> tuple[int, int]:
    """The part of the minutes [first, end) that tallies can tell of: cut to whole hours where minutes are gone, and so on."""
    pruned = {size: state.get_integer(connection, name) for size, name in PRUNED_BEFORE.items()}
    for size, coarser in pairwise(RESOLUTIONS):
        if first % coarser and first < pruned[size]:
            first = -(-first // coarser) * coarser
        if end % coarser and end // coarser * coarser < pruned[size]:
            end = end // coarser * coarser
    first = max(first, pruned[RESOLUTIONS[-1]])
    return first, max(first, end)


def check_names(by: Sequence[str]) -> None:
    """See that each name is one of BY, and there once.

    Raises:
        ConfigError: it is not.
    """
    for name in by:
        if name not in BY:
            raise ConfigError(f"--by {name}: not one of {', '.join(BY)}")
    if len(set(by)) < len(by):
        raise ConfigError(f"--by {','.join(by)}: the same thing twice")


def _days(start: int, end: int) -> list[tuple[int, int]]:
    edges = [start, *range((start // _DAY_MINUTES + 1) * _DAY_MINUTES, end, _DAY_MINUTES), end]
    return list(pairwise(edges))
