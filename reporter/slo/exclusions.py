"""Exclusions: spans of time, such as a provider's maintenance, whose events some SLOs leave out, whenever that is said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reporter.slo.timeline import Interval, merged
from reporter.slo.where import matches_any


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Whole minutes [first, end) since 1970 that SLOs whose name matches one of the patterns don't count."""

    name: str  # "" for one from the configuration
    first: int
    end: int
    slos: tuple[str, ...]
    reason: str

    def covers(self, slo: str) -> bool:
        """Return whether it is about the SLO of this name."""
        return matches_any(self.slos, slo)


def minutes_excluded(exclusions: Iterable[Exclusion], slo: str) -> tuple[Interval, ...]:
    """The minutes that an SLO leaves out, in order and apart."""
    return merged((found.first, found.end) for found in exclusions if found.covers(slo))
