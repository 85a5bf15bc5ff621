"""Every setting of `reporter.yaml`, its type, its default, and what it may not be.

Lengths are nanoseconds here and carry `_ns`; people write `timeout: 10s`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from reporter.catalogue import Catalogue
from reporter.config.gateway import File, Pushgateway
from reporter.config.jobs import Job
from reporter.config.money import CostBudget, ModelPrice
from reporter.lease import MOST_TTL_NS
from reporter.pricing import PriceList
from reporter.schedule.expectation import Expectation
from reporter.slo.durations import UNITS_NS, format_duration, parse_duration
from reporter.slo.exclusions import Exclusion
from reporter.slo.fields import (
    Name,
    PositiveCount,
    PositiveDuration,
    Spec,
    Window,
    refusal,
)
from reporter.slo.periods import Dated
from reporter.slo.spec import SLO
from reporter.slo.where import Globs

Label = Literal["batch_job", "operation", "provider", "model"]
DATABASE_SCHEMES = ("sqlite", "postgresql", "postgres", "postgresql+psycopg")


def database_url(url: str) -> str:
    """Return the URL when it names a database that this program knows.

    Raises:
        ValueError: it does not; the message has no part of the URL, which may hold a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in DATABASE_SCHEMES:
        raise ValueError("must be a URL like sqlite:///jobs.db or postgresql://user@host/name")
    if scheme == "sqlite" and not rest.startswith("/"):
        raise ValueError("must have three slashes for a relative path, sqlite:///jobs.db, or four for an absolute one")
    if scheme == "sqlite" and rest.partition("?")[0] in ("/", "/:memory:"):
        raise ValueError("must name a file: a database in memory is gone with its process")
    return url


def _lengths(*labels: str) -> tuple[int, ...]:
    return tuple(parse_duration(label) for label in labels)


class ReportSettings(Spec):
    """What a report shows, and when a call or a reporter counts as gone."""

    windows_ns: tuple[Window, ...] = Field(
        default=_lengths("5m", "30m", "1h", "2h", "6h", "1d", "3d", "7d", "30d"), alias="windows", min_length=1
    )
    labels: tuple[Label, ...] = ("batch_job", "operation", "provider", "model")
    max_values_per_label: PositiveCount = 100
    lost_after_ns: PositiveDuration = Field(default=UNITS_NS["h"], alias="lost_after")
    """A call that started this long ago and never ended is lost, unless it was given a deadline of its own."""
    sloth_series: bool = False
    """Whether a push also has the series that Sloth's rules record."""
    lease_ns: PositiveDuration | None = Field(default=None, alias="lease")
    """As `Config.lease_ns`, if it was given."""

    @field_validator("windows_ns", "labels")
    @classmethod
    def _refuse_twice(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in values:
            if values.count(value) > 1:
                raise ValueError(f"{format_duration(value) if isinstance(value, int) else value} is there twice")
        return values


class Retention(Spec):
    """How long raw calls and each kind of tally are kept."""

    calls_ns: PositiveDuration = Field(default=parse_duration("35d"), alias="calls")
    minutes_ns: PositiveDuration = Field(default=parse_duration("40d"), alias="minutes")
    hours_ns: PositiveDuration = Field(default=parse_duration("400d"), alias="hours")
    days_ns: PositiveDuration = Field(default=parse_duration("5y"), alias="days")


class WrittenExclusion(Spec):
    """A span of time that some SLOs leave out."""

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    slos: Globs = ("*",)
    reason: str

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.to <= self.from_:
            raise refusal([(("to",), "must be later than from")])
        return self

    @property
    def meant(self) -> Exclusion:
        """The whole minutes it touches."""
        return Exclusion(
            name="",
            first=int(self.from_.timestamp() // 60),
            end=int(-(-self.to.timestamp() // 60)),
            slos=self.slos,
            reason=self.reason,
        )


class Config(Spec):
    """All settings; `reporter.config.load_config` reads them from a file."""

    database: Annotated[str, AfterValidator(database_url)] = Field(default="", repr=False, validate_default=False)
    """A URL that may hold a password; `masked_database` is for showing."""
    pushgateway: Pushgateway = Pushgateway()
    report: ReportSettings = ReportSettings()
    retention: Retention = Retention()
    jobs: dict[Name, Job] = Field(default_factory=dict)
    slos: tuple[SLO, ...] = ()
    prices: tuple[ModelPrice, ...] = ()
    price_catalogue: File | None = None
    """A later catalogue than genai-prices came with: `reporter prices update` writes one."""
    budgets: tuple[CostBudget, ...] = ()
    exclusions: tuple[WrittenExclusion, ...] = ()

    _source: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = duplicate_names({"slos": [slo.name for slo in self.slos], "budgets": [b.name for b in self.budgets]})
        problems += self._short_retention() or self._short_for_budgets()
        if self.report.lease_ns is not None and self.report.lease_ns > MOST_TTL_NS:
            problems.append(
                (("report", "lease"), "must be at most 1h: for so long nobody takes over from a dead reporter")
            )
        elif self.report.lease_ns is not None and self.report.lease_ns <= self.pushgateway.timeout_ns:
            why = f"must be longer than pushgateway.timeout, {format_duration(self.pushgateway.timeout_ns)}"
            problems.append((("report", "lease"), f"{why}: it must not run out during a push"))
        if problems:
            raise refusal(problems)
        return self

    def _short_retention(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Tallies that would be gone before the longest window that needs them has passed, with the SLO that has it."""
        problems: list[tuple[tuple[str | int, ...], str]] = []
        kept = {"minutes": self.retention.minutes_ns, "hours": self.retention.hours_ns, "days": self.retention.days_ns}
        for tally, length_ns in kept.items():
            longest, place, whose = self._longest_window(tally)
            if length_ns >= longest:
                continue
            window, length = format_duration(longest), format_duration(length_ns)
            if place and f"{tally}_ns" not in self.retention.model_fields_set:  # nothing in the file says how long
                why = f"needs tallies for {window}: write retention: {{{tally}: {window}}} or more, it is {length}"
                problems.append((place, why))
            else:
                problems.append(
                    (("retention", tally), f"must be at least the longest window, {window}{whose}, not {length}")
                )
        return problems

    def _longest_window(self, tally: str) -> tuple[int, tuple[str | int, ...], str]:
        """The longest window that is cut from `minutes`, `hours` or `days`; of which SLO, as a place and as words."""
        longest, whose = max(self.report.windows_ns), ""
        found: tuple[str | int, ...] = ()
        for index, slo in enumerate(self.slos):
            for field, length_ns in _windows_of(slo, tally):
                if length_ns > longest:
                    longest, found, whose = length_ns, ("slos", index, *field), f" (of the SLO {slo.name})"
        return longest, found, whose

    def _short_for_budgets(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Budgets that look back further than tallies are kept.

        Of minutes, those of calendar periods need none to begin with, but where the zone's hours are not UTC's.
        """
        kept = self.retention
        for index, budget in enumerate(self.budgets):
            calendar = budget.calendar_period
            by_minute_ns = budget.longest_ns
            if calendar is not None and calendar.on_whole_hours:
                by_minute_ns = max(budget.windows_ns)
            for tally, needed_ns, kept_ns in (
                ("minutes", by_minute_ns, kept.minutes_ns),
                ("hours", budget.longest_ns, kept.hours_ns),
                ("days", budget.longest_ns, kept.days_ns),
            ):
                if kept_ns < needed_ns:
                    key = "calendar" if calendar is not None else "period"
                    needed = format_duration(-(-needed_ns // UNITS_NS["d"]) * UNITS_NS["d"])
                    why = f"needs tallies for {needed}: write retention: {{{tally}: {needed}}} or more"
                    return [(("budgets", index, key), f"{why}, it is {format_duration(kept_ns)}")]
        return []

    @property
    def lease_ns(self) -> int:
        """How long a silent reporter keeps others away: 30 s, or longer where a push may take longer, if not given."""
        return self.report.lease_ns or max(30 * UNITS_NS["s"], 2 * self.pushgateway.timeout_ns)

    @cached_property
    def price_list(self) -> PriceList:
        """What models cost: by `prices`, then by the catalogue."""
        return PriceList(self.prices, Catalogue(self.price_catalogue))

    @property
    def source(self) -> Path | None:
        """The file these settings were read from; None when there was none."""
        return self._source

    @property
    def masked_database(self) -> str:
        """The database's URL without its password and its options."""
        masked = re.sub(r"^([^/]*//[^/@:]*):.*@", r"\1:***@", self.database)  # up to the last @: rather too much
        return masked.partition("?")[0]

    @property
    def windows(self) -> tuple[tuple[str, int], ...]:
        """Every window anything needs, as (label, ns), shortest first: the report's, and each SLO's own."""
        lengths = set(self.report.windows_ns) | {length for slo in self.slos for _, length in slo.windows}
        return tuple((format_duration(length), length) for length in sorted(lengths))

    @property
    def unsupported(self) -> tuple[str, ...]:
        """What was written but is not acted on in this version, a sentence each."""
        return ()

    @cached_property
    def expected(self) -> Mapping[str, Expectation]:
        """What is expected of each job's runs."""
        return {name: job.expected for name, job in self.jobs.items()}


def _windows_of(slo: SLO, tally: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """The lengths that an SLO needs tallies for, each with the field that says so.

    A calendar period begins at midnight, for which hours do where the zone's are UTC's; time slices need each minute.
    """
    for _, length_ns in slo.windows:
        yield (("period",) if length_ns == slo.period_ns else ()), length_ns
    for period in slo.all_periods:
        if isinstance(period, Dated) and (tally != "minutes" or slo.slice_ns or not period.calendar.on_whole_hours):
            yield ("calendar",), period.longest_ns


def duplicate_names(sections: dict[str, list[Any]]) -> list[tuple[tuple[str | int, ...], str]]:
    """Return (location, sentence) for every name that an earlier entry of its section has already."""
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for section, names in sections.items():
        for index, name in enumerate(names):
            if name is not None and (first := names.index(name)) < index:
                problems.append(((section, index, "name"), f"{name!r} is the name of {section}[{first}] already"))
    return problems
