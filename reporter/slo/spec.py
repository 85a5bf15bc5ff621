"""The spec of one SLO: which calls it is about, what makes them good, how many must be, and when to alert."""

import fnmatch
import hashlib
import json
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from reporter.slo.alerting import AlertPair, LeftOutPair, Severity, default_pairs, factor_of_share, impossibility
from reporter.slo.durations import UNITS_NS, format_duration, parse_duration
from reporter.slo.fields import (
    BudgetPercent,
    Count,
    Name,
    Objective,
    PositiveDecimal,
    Spec,
    Window,
    as_list,
    plain,
    refusal,
)
from reporter.slo.indicators import Indicator, JudgedCall, Predicates

DEFAULT_PERIOD_NS = 30 * UNITS_NS["d"]


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(pattern)).match


def _some(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not patterns:
        raise ValueError("an empty list matches nothing; leave the key out to match everything")
    return tuple(sorted(set(patterns)))


Globs = Annotated[tuple[str, ...], BeforeValidator(as_list), AfterValidator(_some)]
"""Shell-style patterns (`*`, `?`, `[…]`), case-sensitive; one or a list, of which one must match."""


class Where(Spec):
    """Which calls are meant: every label that is named must match.  The value of an absent label is ''."""

    batch_job: Globs | None = None
    operation: Globs | None = None
    provider: Globs | None = None
    model: Globs | None = None

    def matches(self, batch_job: str, operation: str, provider: str, model: str) -> bool:
        """Return whether calls with these labels are meant."""
        return (
            _any(self.batch_job, batch_job)
            and _any(self.operation, operation)
            and _any(self.provider, provider)
            and _any(self.model, model)
        )

    def describe(self) -> str:
        """Return the conditions in a few words, '' when there are none."""
        named = self.model_dump(exclude_none=True)
        return " ".join(f"{label}={'|'.join(patterns)}" for label, patterns in named.items())


def _any(patterns: tuple[str, ...] | None, value: str) -> bool:
    return patterns is None or any(_glob(pattern)(value) is not None for pattern in patterns)


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
    """One service level objective over calls.

    A call counts when its labels match `where`, its error type is not excluded, and the SLI has something to judge.
    Objective and `budget_percent` are percent, ratios elsewhere are 0–1; lengths are nanoseconds.
    """

    name: Name
    service: Name = "default"
    sli: Indicator
    where: Where = Where()
    objective: Objective
    period_ns: Window = Field(default=DEFAULT_PERIOD_NS, alias="period")
    calendar: Literal["day", "week", "month"] | None = None
    timezone: str | None = None
    method: Literal["occurrences", "timeslices", "ratio_timeslices"] = "occurrences"
    exclude_error_types: Annotated[
        tuple[Name, ...], BeforeValidator(_error_types), AfterValidator(lambda types: tuple(sorted(set(types))))
    ] = ()
    min_bad_events: Count = 0
    alerts: tuple[Alert, ...] | None = None
    labels: dict[str, str] = Field(default_factory=dict)
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

    @field_validator("method")
    @classmethod
    def _refuse_method(cls, method: str) -> str:
        if method != "occurrences":
            raise ValueError(f"{method} is not supported in this version; write occurrences, or leave it out")
        return method

    @field_validator("calendar")
    @classmethod
    def _refuse_calendar(cls, calendar: str | None) -> str | None:
        if calendar is not None:
            raise ValueError("is not supported for SLOs in this version; write a rolling period, like period: 30d")
        return calendar

    @field_validator("timezone")
    @classmethod
    def _refuse_timezone(cls, timezone: str | None) -> str | None:
        if timezone is not None:
            raise ValueError("belongs to calendar, which is not supported for SLOs in this version; leave it out")
        return timezone

    @model_validator(mode="after")
    def _refuse_impossible_alerts(self) -> Self:
        problems: list[tuple[tuple[str | int, ...], str]] = []
        seen: set[tuple[str, int, int]] = set()
        for index, alert in enumerate(self.alerts or ()):
            pair = alert.pair(self.period_ns)
            reason = impossibility(pair, self.period_ns, self.error_budget_ratio)
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
    def period(self) -> str:
        """The period's label: `30d`."""
        return format_duration(self.period_ns)

    @property
    def pairs(self) -> tuple[AlertPair, ...]:
        """The alert pairs in force: those written, or the defaults that suit this objective and period."""
        if self.alerts is None:
            return default_pairs(self.period_ns, self.error_budget_ratio)[0]
        return tuple(alert.pair(self.period_ns) for alert in self.alerts)

    @property
    def left_out_pairs(self) -> tuple[LeftOutPair, ...]:
        """The default pairs that this SLO goes without, and why."""
        return () if self.alerts is not None else default_pairs(self.period_ns, self.error_budget_ratio)[1]

    @property
    def windows(self) -> tuple[tuple[str, int], ...]:
        """The windows it needs counts for, as (label, ns), shortest first: those of its alert pairs, and its period."""
        lengths = {self.period_ns} | {length for pair in self.pairs for length in (pair.long_ns, pair.short_ns)}
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
        """Return whether calls with these labels are this SLO's; an absent label is ''."""
        return self.where.matches(batch_job, operation, provider, model)

    def judge(self, call: JudgedCall) -> bool | None:
        """Return whether a call whose labels match is good (True), bad (False) or out of total (None)."""
        if call.error_type in self.exclude_error_types:
            return None
        return self.sli.judge(call)

    def sql(self, dialect: str) -> Predicates:
        """Return the same judgement as SQL over `calls` for "sqlite" or "postgresql"; labels are not looked at."""
        good, counted = (f"({condition})" for condition in self.sli.sql(dialect))
        if not self.exclude_error_types:
            return Predicates(good, counted)
        excluded = ", ".join(_literal(error_type, dialect) for error_type in self.exclude_error_types)
        kept = f"(error_type IS NULL OR error_type NOT IN ({excluded}))"
        return Predicates(f"({good} AND {kept})", f"({counted} AND {kept})")


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
