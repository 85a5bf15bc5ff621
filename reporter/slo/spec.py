"""The spec of one SLO: which calls it is about, what makes them good, how many must be, and when to alert."""

import hashlib
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from reporter.slo.alerting import AlertPair, LeftOutPair, Severity, default_pairs, factor_of_share, impossibility
from reporter.slo.calendar import Calendar
from reporter.slo.durations import MINUTE_NS, UNITS_NS, format_duration, parse_duration
from reporter.slo.fields import (
    BudgetPercent,
    Count,
    Name,
    Objective,
    Percent,
    PositiveDecimal,
    Spec,
    TimeZone,
    Window,
    plain,
    refusal,
)
from reporter.slo.indicators import CallIndicator, Predicates
from reporter.slo.kinds import Indicator
from reporter.slo.periods import Period, Rolling, WrittenPeriods, misfit, period_of
from reporter.slo.run_indicators import Freshness
from reporter.slo.where import Where

DEFAULT_PERIOD_NS = 30 * UNITS_NS["d"]
Method = Literal["occurrences", "timeslices", "ratio_timeslices"]
"""What counts: every event; time slices, each good or bad; time slices, each with the share of its good events."""
Missing = Literal["exclude", "good", "bad", "hold"]
"""What stretches of time without any event are."""
_ALERT_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_TAKEN_LABELS = frozenset({"job", "instance", "batch_job", "window", "alertname", "alertstate", "grafana_folder"})


def label_problem(label: str) -> str | None:
    """Why alerts can't have this label; None when they can.  One that Prometheus does not take would cost all the rules."""
    if not _ALERT_LABEL.fullmatch(label):
        return "is no label name of Prometheus: letters, digits and _, no digit and no __ in front"
    return "is a label that alerts or metrics have already" if label in _TAKEN_LABELS else None


def _alert_labels(labels: dict[str, str]) -> dict[str, str]:
    problems = [((label,), why) for label in labels if (why := label_problem(label)) is not None]
    if problems:
        raise refusal(problems)
    return labels


class Alert(Spec):
    """An alert pair that a person wrote, by the share of the budget it may use up or by its burn rate."""

    severity: Severity
    long_ns: Window = Field(alias="long")
    short_ns: Window = Field(alias="short")
    budget_percent: BudgetPercent | None = None
    factor: PositiveDecimal | None = None

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if (self.budget_percent is None) == (self.factor is None):
            raise ValueError(
                "must say either budget_percent, the share of the error budget used within the long window, "
                "or factor, the burn rate"
            )
        return self

    def pair(self, period_ns: int) -> AlertPair:
        """Return the pair with its exact factor for an SLO over this period."""
        if self.budget_percent is not None:
            burn = factor_of_share(self.budget_percent / 100, period_ns, self.long_ns)
        else:
            burn = Fraction(self.factor or 0)
        return AlertPair(severity=self.severity, long_ns=self.long_ns, short_ns=self.short_ns, factor=burn)


def _error_types(value: Any) -> Any:
    values = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return [str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in values]


_TIER = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,9})?)\s*(?:<=|<|≤)\s*(\S.*)", re.ASCII)


class SLO(Spec):
    """One service level objective over calls, runs, or the minutes since a job's last success.

    A call counts when its labels match `where`, its error type is not excluded, and the SLI has something to judge.
    Objective and `budget_percent` are percent, ratios elsewhere are 0–1; lengths are nanoseconds.
    """

    name: Name
    service: Name = "default"
    sli: Indicator
    where: Where = Where()
    objective: Objective
    period_ns: Window = Field(default=DEFAULT_PERIOD_NS, alias="period")
    calendar: Calendar | None = None
    timezone: TimeZone = "UTC"
    periods: WrittenPeriods = ()
    """Further periods; alerts are scaled to the first one alone."""
    method: Method = "occurrences"
    timeslice_ns: Window = Field(default=MINUTE_NS, alias="timeslice")
    timeslice_target: Percent | None = None
    missing: Missing = "exclude"
    exclude_error_types: Annotated[
        tuple[Name, ...], BeforeValidator(_error_types), AfterValidator(lambda types: tuple(sorted(set(types))))
    ] = ()
    min_bad_events: Count = 0
    alerts: tuple[Alert, ...] | None = None
    labels: Annotated[dict[str, str], AfterValidator(_alert_labels)] = Field(default_factory=dict)
    description: str = ""
    runbook: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read_tier(cls, data: Any) -> Any:
        """Read the sugar `sli: p95 < 2.5s` as latency 2.5s with objective 95."""
        written = data.get("sli") if isinstance(data, dict) else None
        tier = _TIER.fullmatch(written.strip()) if isinstance(written, str) else None
        if tier is None:
            return data
        percentile = Decimal(tier[1])
        if "objective" in data and not _same_number(data["objective"], percentile):
            why = f"{data['objective']} contradicts sli: {written}, which says {plain(percentile)}"
            raise refusal([(("objective",), why)])
        try:
            parse_duration(tier[2])
        except ValueError as error:
            raise refusal([(("sli",), str(error))]) from None
        return {**data, "sli": {"latency": {"threshold": tier[2]}}, "objective": tier[1]}

    @model_validator(mode="after")
    def _refuse_misfits(self) -> Self:
        problems = [*_misfits(self)]
        if problems:
            raise refusal(problems)
        return self

    @model_validator(mode="after")
    def _refuse_impossible_alerts(self) -> Self:
        problems: list[tuple[tuple[str | int, ...], str]] = []
        seen: set[tuple[str, int, int]] = set()
        for index, alert in enumerate(self.alerts or ()):
            pair = alert.pair(self.main_period.nominal_ns)
            reason = impossibility(pair, self.main_period.nominal_ns, self.error_budget_ratio)
            if reason is None and self.slice_ns > pair.short_ns:
                reason = (
                    f"the short window ({pair.short}) is shorter than a time slice ({format_duration(self.slice_ns)})"
                )
            if (key := (alert.severity, alert.long_ns, alert.short_ns)) in seen:
                reason = f"{alert.severity} {pair.long}/{pair.short} is there twice"
            seen.add(key)
            if reason is not None:
                problems.append((("alerts", index), reason))
        if problems:
            raise refusal(problems)
        return self

    @property
    def objective_ratio(self) -> Decimal:
        """The objective as a ratio: 99.9 is Decimal("0.999")."""
        return self.objective / 100

    @property
    def error_budget_ratio(self) -> Decimal:
        """1 - objective, exactly: 99.9 leaves Decimal("0.001")."""
        return 1 - self.objective_ratio

    @property
    def main_period(self) -> Period:
        """The period of the error budget."""
        return period_of(self.period_ns, self.calendar, self.timezone)

    @property
    def all_periods(self) -> tuple[Period, ...]:
        """The main period and the further ones, each once."""
        return tuple(dict.fromkeys((self.main_period, *(written.meant for written in self.periods))))

    @property
    def period(self) -> str:
        """The main period's label: `30d`, `month`, `month Europe/Berlin`."""
        return self.main_period.label

    @property
    def slice_ns(self) -> int:
        """The length of a time slice; 0 when events are counted one by one."""
        return 0 if self.method == "occurrences" else self.timeslice_ns

    @property
    def slice_target_ratio(self) -> Decimal:
        """From which share of good events on a time slice is good: `timeslice_target`, or else the objective."""
        return (self.objective if self.timeslice_target is None else self.timeslice_target) / 100

    @property
    def pairs(self) -> tuple[AlertPair, ...]:
        """The alert pairs in force: those written, or the defaults that suit this objective and period."""
        if self.alerts is None:
            return self._default_pairs[0]
        return tuple(alert.pair(self.main_period.nominal_ns) for alert in self.alerts)

    @property
    def left_out_pairs(self) -> tuple[LeftOutPair, ...]:
        """The default pairs that this SLO goes without, and why."""
        return () if self.alerts is not None else self._default_pairs[1]

    @property
    def _default_pairs(self) -> tuple[tuple[AlertPair, ...], tuple[LeftOutPair, ...]]:
        return default_pairs(self.main_period.nominal_ns, self.error_budget_ratio, self.slice_ns)

    @property
    def windows(self) -> tuple[tuple[str, int], ...]:
        """The lengths it needs counts for, as (label, ns), shortest first: those of its alerts and rolling periods."""
        lengths = {length for pair in self.pairs for length in (pair.long_ns, pair.short_ns)}
        lengths |= {period.length_ns for period in self.all_periods if isinstance(period, Rolling)}
        return tuple((format_duration(length), length) for length in sorted(lengths))

    @property
    def fingerprint(self) -> str:
        """A stable hash of exactly what decides which calls are good, bad or out; other changes need no recount."""
        deciding = {
            "version": 1,
            "sli": self.sli.model_dump(mode="json"),
            "where": self.where.model_dump(mode="json", exclude_none=True),
            "exclude_error_types": self.exclude_error_types,
        }
        return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:32]

    def matches(self, batch_job: str, operation: str, provider: str, model: str) -> bool:
        """Return whether calls with these labels are this SLO's; an absent label is ''.  Never, for one over runs."""
        return isinstance(self.sli, CallIndicator) and self.where.matches(batch_job, operation, provider, model)

    def judge(self, event: Any) -> bool | None:
        """Return whether a call or run whose labels match is good (True), bad (False) or out of total (None).

        Raises:
            TypeError: it judges minutes.
        """
        if isinstance(self.sli, Freshness):
            raise TypeError(f"{self.name}: {self.sli.kind} judges minutes, neither calls nor runs")
        return None if event.error_type in self.exclude_error_types else self.sli.judge(event)

    def sql(self, dialect: str) -> Predicates:
        """Return the same judgement as SQL over `calls` or `runs` for "sqlite" or "postgresql"; labels are not looked at.

        Raises:
            TypeError: it judges minutes.
        """
        if isinstance(self.sli, Freshness):
            raise TypeError(f"{self.name}: {self.sli.kind} judges minutes, neither calls nor runs")
        good, counted = (f"({condition})" for condition in self.sli.sql(dialect))
        if not self.exclude_error_types:
            return Predicates(good, counted)
        excluded = ", ".join(_literal(error_type, dialect) for error_type in self.exclude_error_types)
        kept = f"(error_type IS NULL OR error_type NOT IN ({excluded}))"
        return Predicates(f"({good} AND {kept})", f"({counted} AND {kept})")


def _misfits(slo: SLO) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Settings that don't go together: (place, sentence) each."""
    told = slo.model_fields_set
    period = misfit(slo)
    if period is not None:
        yield period
    if not isinstance(slo.sli, CallIndicator):
        for label in ("operation", "provider", "model"):
            if getattr(slo.where, label) is not None:
                yield ("where", label), f"is a label of calls; {slo.sli.kind} is about runs, which have only batch_job"
    if isinstance(slo.sli, Freshness) and slo.exclude_error_types:
        yield ("exclude_error_types",), "has no meaning for freshness, which looks at minutes and not at errors"
    if slo.method == "occurrences":
        for name in ("timeslice_ns", "timeslice_target"):
            if name in told:
                key = name.removesuffix("_ns")
                yield (key,), "belongs to method: timeslices or ratio_timeslices; the method here is occurrences"
    elif slo.method == "ratio_timeslices" and slo.timeslice_target is not None:
        yield (
            ("timeslice_target",),
            "belongs to method: timeslices; ratio_timeslices takes the mean of the slices' ratios",
        )
    elif UNITS_NS["d"] % slo.timeslice_ns:
        yield (
            ("timeslice",),
            "must divide a day, like 1m, 5m, 1h or 1d, so that slices begin at the same times each day",
        )
    elif slo.timeslice_ns > slo.main_period.nominal_ns:
        yield ("timeslice",), f"must not be longer than the period, {slo.period}"


def _literal(value: str, dialect: str) -> str:
    """Return a text as SQL; what could be taken for a quote, an escape or a parameter is spelled by its number."""
    spell = "char" if dialect == "sqlite" else "chr"
    parts = re.findall(r"[\w .-]+|.", value, re.ASCII | re.DOTALL)
    return " || ".join(
        f"'{part}'" if re.match(r"[\w .-]", part, re.ASCII) else f"{spell}({ord(part)})" for part in parts
    )


def _same_number(written: Any, number: Decimal) -> bool:
    try:
        return Decimal(str(written).strip().removesuffix("%").strip()) == number
    except ArithmeticError:
        return False
