"""How things stand at a glance: the report, today's money, and when the gateway was last told."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from reporter.cost import Costs, read_costs
from reporter.report.model import AlertState, JobStatus, Report, SLOStatus
from reporter.tally import MINUTE_NS

_DAY_NS = 1440 * MINUTE_NS
_WORST_FIRST = ("exhausted", "burning", "ok", "no_data")
_FINE = ("ok", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `reporter status` and the page of `reporter html` tell first."""

    report: Report
    today: Costs  # by model, of the UTC day that `as_of` is in or ends
    pushed_at_ns: int | None  # when a gateway last acknowledged a push, of now; None: never

    @property
    def slos(self) -> tuple[SLOStatus, ...]:
        """The SLOs, worst first."""
        return tuple(sorted(self.report.slos, key=_badness))

    @property
    def firing(self) -> tuple[tuple[SLOStatus, AlertState], ...]:
        """The SLOs' alerts that fire, pages first."""
        found = [(slo, alert) for slo in self.slos for alert in slo.alerts if alert.firing]
        return tuple(sorted(found, key=lambda one: one[1].severity != "page"))

    @property
    def alerts_firing(self) -> int:
        """How many alerts fire, those of cost budgets with them."""
        of_money = sum(alert.firing for budget in self.report.budgets for alert in budget.alerts)
        return len(self.firing) + of_money

    @property
    def troubled_jobs(self) -> tuple[JobStatus, ...]:
        """The jobs that are not ok."""
        return tuple(job for job in self.report.jobs if job.state not in _FINE)


def read_status(connection: Connection, made: Report) -> Status:
    """What stands beside a report at its moment."""
    began_ns = (made.as_of_ns - 1) // _DAY_NS * _DAY_NS
    return Status(
        report=made,
        today=read_costs(connection, ("model",), as_of_ns=made.as_of_ns, length_ns=made.as_of_ns - began_ns),
        pushed_at_ns=connection.execute(text("SELECT max(acknowledged_at_ns) FROM pushes")).scalar(),
    )


def burn_now(slo: SLOStatus) -> tuple[str, float] | None:
    """The burn rate of the shortest window that has one, and which that is; None where none has.

    Where an alert fires, of those it fires by: it may do so by 6h while the last 5 minutes are well.
    """
    by = {alert.short for alert in slo.alerts if alert.firing}
    for label, window in sorted(slo.windows.items(), key=lambda item: -item[1].start_ns):
        if window.burn_rate is not None and (not by or label in by):
            return label, window.burn_rate
    return None


def _badness(slo: SLOStatus) -> tuple[int, float]:
    return _WORST_FIRST.index(slo.state), 1.0 if slo.remaining_ratio is None else slo.remaining_ratio
