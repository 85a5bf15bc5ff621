"""Every setting of `reporter.yaml`, its type, its default, and what it may not be.

Lengths are nanoseconds here and carry `_ns`; people write `timeout: 10s`.
"""

import ipaddress
import re
import ssl
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from reporter.errors import ConfigError
from reporter.lease import MOST_TTL_NS
from reporter.pricing import PER_MTOK
from reporter.slo.durations import UNITS_NS, format_duration, parse_duration
from reporter.slo.fields import (
    Duration,
    Name,
    NonNegativeDecimal,
    PositiveCount,
    PositiveDecimal,
    PositiveDuration,
    Spec,
    Window,
    refusal,
)
from reporter.slo.spec import SLO, Globs, Where

Label = Literal["batch_job", "operation", "provider", "model"]
DATABASE_SCHEMES = ("sqlite", "postgresql", "postgres", "postgresql+psycopg")
MAX_SECRET_BYTES = 64 * 1024
METRIC_LABELS = frozenset(
    ("batch_job", "operation", "provider", "model", "status", "type", "slo", "service", "window", "result", "quantile", "le",
     "version", "trouble", "budget", "severity", "reason")
)  # fmt: skip
"""Labels that samples have, or will have; a test compares them with the metrics."""

_METRIC_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a directory's name is an OSError
        raise ValueError(f"{name[:60]!r} is no time zone known here; write one like Europe/Berlin or UTC") from None
    return name


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Make a path relative to the file that says it, because cron's working directory is not the person's."""
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / path.expanduser()


def _day(value: object) -> date:
    try:
        return value if type(value) is date else date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a day like 2026-11-01") from None


Day = Annotated[date, BeforeValidator(_day)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
File = Annotated[Path, AfterValidator(_beside_the_file)]


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


def _is_loopback(host: str) -> bool:
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Pushgateway(Spec):
    """Where reports are pushed to, and how."""

    url: str = "http://localhost:9091"
    grouping: dict[str, str] = Field(default_factory=lambda: {"job": "reporter"})
    username: str | None = None
    password: SecretStr | None = None
    password_file: File | None = None
    bearer_token_file: File | None = None
    ca_file: File | None = None
    client_cert: File | None = None
    client_key: File | None = None
    timeout_ns: PositiveDuration = Field(default=10 * UNITS_NS["s"], alias="timeout")
    new_series_delay_ns: Duration = Field(default=30 * UNITS_NS["s"], alias="new_series_delay")
    """How long a new counter is shown as 0 before its true value, so that `increase()` sees it rise."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("must be a URL like http://localhost:9091") from None
        if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", url):
            raise ValueError("must be an http or https URL like http://localhost:9091")
        if "@" in parts.netloc:
            raise ValueError("must hold no credentials; use username with password_file, or bearer_token_file")
        if parts.query or parts.fragment:
            raise ValueError("must have neither a query nor a fragment")
        return url.rstrip("/")

    @field_validator("grouping")
    @classmethod
    def _check_grouping(cls, grouping: dict[str, str]) -> dict[str, str]:
        problems: list[tuple[tuple[str, ...], str]] = []
        for label in grouping:
            if not _METRIC_LABEL.fullmatch(label) or label.startswith("__"):
                problems.append(((label,), "is no label name: letters, digits and _, and no __ in front"))
            elif label in METRIC_LABELS:
                problems.append(((label,), "is a label of the metrics themselves, which a group can't overrule"))
        if not grouping.get("job"):
            problems.append(((), "needs job, which names the group at the gateway"))
        if problems:
            raise refusal(problems)
        return grouping

    @model_validator(mode="after")
    def _check_authentication(self) -> Self:
        problems: list[tuple[tuple[str], str]] = []
        passwords = (self.password is not None) + (self.password_file is not None)
        if passwords > 1:
            problems.append((("password_file",), "contradicts password: give one of them"))
        if passwords and self.username is None:
            problems.append((("username",), "is missing beside the password"))
        if self.username is not None and not passwords:
            problems.append((("username",), "needs password_file, or password: ${VARIABLE}"))
        if self.username is not None and (":" in self.username or not self.username.isprintable()):
            problems.append((("username",), "must have no colon and no control characters"))
        if self.bearer_token_file is not None and (self.username is not None or passwords):
            problems.append((("bearer_token_file",), "contradicts username and password: give one of them"))
        if self.client_key is not None and self.client_cert is None:
            problems.append((("client_key",), "needs client_cert"))
        secret = self.username is not None or passwords or self.bearer_token_file is not None
        parts = urlsplit(self.url)
        if secret and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            problems.append((("url",), "must be https: credentials are not sent over plain http to another machine"))
        if problems:
            raise refusal(problems)
        return self

    def read_password(self) -> str | None:
        """Return the password, read from its file when it has one; None without any.

        Raises:
            ConfigError: the file can't be read or says nothing.
        """
        if self.password is not None:
            return self.password.get_secret_value()
        return None if self.password_file is None else _read_secret(self.password_file, "password_file")

    def read_bearer_token(self) -> str | None:
        """Return the bearer token from its file; None without one.

        Raises:
            ConfigError: the file can't be read or says nothing.
        """
        return None if self.bearer_token_file is None else _read_secret(self.bearer_token_file, "bearer_token_file")

    def tls_context(self) -> ssl.SSLContext | None:
        """Return what `ca_file` and `client_cert` ask for; None when neither is given.

        Raises:
            ConfigError: a file can't be read, or does not hold what it should.
        """
        if self.ca_file is None and self.client_cert is None:
            return None
        for setting in ("ca_file", "client_cert", "client_key"):
            file: Path | None = getattr(self, setting)
            if file is not None:
                _open(file, setting).close()
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise ConfigError(f"{self.ca_file}: holds no certificates for pushgateway.ca_file: {error}") from None
        if self.client_cert is not None:
            try:
                context.load_cert_chain(self.client_cert, self.client_key, password=_no_password)
            except (ssl.SSLError, ValueError) as error:
                where = self.client_key or self.client_cert
                raise ConfigError(f"{where}: can't be used as pushgateway.client_cert: {error}") from None
        return context

    def check_files(self) -> None:
        """Make sure that every file named here can be read and used now.

        Raises:
            ConfigError: one can't, or holds no secret where one is expected.
        """
        self.read_password()
        self.read_bearer_token()
        self.tls_context()


def _no_password() -> str:
    raise ValueError("its key is encrypted; give one without a passphrase, readable by its user alone")


def _open(file: Path, setting: str) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise ConfigError(f"{file}: can't be read as pushgateway.{setting}: {error.strerror}") from error


def _read_secret(file: Path, setting: str) -> str:
    try:
        with _open(file, setting) as stream:
            secret = stream.read(MAX_SECRET_BYTES).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text, so it can't be pushgateway.{setting}") from None
    if not secret or not secret.isprintable():
        raise ConfigError(f"{file}: must hold one line of text to be pushgateway.{setting}")
    return secret


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


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRON_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_SCHEDULE_NAMES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")


_LAST_DAYS = {"day of the month": r"LW?", "day of the week": r"[0-7]L|([0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)#[1-5]"}


def _is_cron_item(item: str, field: str, first: int, last: int, names: tuple[str, ...]) -> bool:
    """Whether `item` is `*`, a number or name, or a span of them, with `/step` behind if it likes; or a last or n-th day."""
    if field in _LAST_DAYS and re.fullmatch(_LAST_DAYS[field], item.upper()):
        return True
    span, slash, step = item.partition("/")
    if slash and not (step.isascii() and step.isdigit() and int(step[:9]) > 0):
        return False
    if span == "*":
        return True
    numbers = []
    for word in span.split("-"):
        if word.casefold() in names:
            numbers.append(names.index(word.casefold()) + first)
        elif word.isascii() and word.isdigit() and first <= int(word[:9]) <= last:
            numbers.append(int(word))
        else:
            return False
    return len(numbers) == 1 or (len(numbers) == 2 and numbers[0] <= numbers[1])


class Job(Spec):
    """What is expected of a batch job's runs."""

    schedule: str | None = None
    timezone: TimeZone | None = None
    start_grace_ns: Duration | None = Field(default=None, alias="start_grace")
    max_duration_ns: PositiveDuration | None = Field(default=None, alias="max_duration")
    max_concurrent: PositiveCount | None = None

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, schedule: str | None) -> str | None:
        if schedule is None or schedule in _SCHEDULE_NAMES:
            return schedule
        fields = schedule.split()
        if len(fields) != len(_CRON_FIELDS):
            raise ValueError(f'must be a cron expression of five fields, like "0 3 * * *", not {schedule[:60]!r}')
        for field, (name, first, last, names) in zip(fields, _CRON_FIELDS, strict=True):
            if not all(_is_cron_item(item, name, first, last, names) for item in field.split(",")):
                raise ValueError(
                    f"has {field[:60]!r} for its {name}: must be {first}-{last}, *, a-b, */n, or such by commas"
                )
        return schedule


class ModelPrice(Spec):
    """What a model costs, in USD a million tokens: before the catalogue's price, or where it knows none."""

    model: Globs
    provider: Globs | None = None
    price_class: str | None = None
    since: Day | None = None
    input: NonNegativeDecimal
    output: NonNegativeDecimal | None = None
    cache_read: NonNegativeDecimal | None = None
    cache_write: NonNegativeDecimal | None = None
    cache_write_1h: NonNegativeDecimal | None = None

    def sells(self, provider: str, model: str, day: int, price_class: str | None) -> bool:
        """Whether it is the price of such a call on a day, counted from 1970."""
        where = Where(provider=self.provider, model=self.model)
        return (
            self.since_day <= day
            and self.price_class == price_class
            and where.matches(batch_job="", operation="", provider=provider, model=model)
        )

    @property
    def since_day(self) -> int:
        """From when on, in days since 1970."""
        return (self.since - date(1970, 1, 1)).days if self.since is not None else 0

    @property
    def usd_per_mtok(self) -> dict[str, Decimal]:
        """USD a million tokens, of what is said."""
        told = {name: getattr(self, name) for name in PER_MTOK}
        return {name: usd for name, usd in told.items() if usd is not None}


class CostBudget(Spec):
    """Money that calls may cost in a period."""

    name: Name
    usd: PositiveDecimal
    period_ns: Window | None = Field(default=None, alias="period")
    calendar: Literal["day", "week", "month"] | None = None
    timezone: TimeZone = "UTC"
    where: Where = Where()

    @model_validator(mode="after")
    def _check_period(self) -> Self:
        if (self.period_ns is None) == (self.calendar is None):
            raise ValueError("must say either period, like 30d, or calendar: day, week or month")
        return self


class Exclusion(Spec):
    """A span of time whose calls some SLOs leave out."""

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime
    slos: Globs = ("*",)
    reason: str

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.to <= self.from_:
            raise refusal([(("to",), "must be later than from")])
        return self


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
    budgets: tuple[CostBudget, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()

    _source: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = duplicate_names({"slos": [slo.name for slo in self.slos], "budgets": [b.name for b in self.budgets]})
        problems += self._short_retention()
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
        """Tallies that would be gone before the longest window has passed; the SLO that has it is named, too."""
        longest = max(length for _, length in self.windows)
        window, whose = format_duration(longest), ""
        place: tuple[str | int, ...] = ()
        if longest not in self.report.windows_ns:
            index = next(i for i, slo in enumerate(self.slos) if longest in (length for _, length in slo.windows))
            place, whose = ("slos", index), f" (of the SLO {self.slos[index].name})"
            if self.slos[index].period_ns == longest:
                place = (*place, "period")
        problems: list[tuple[tuple[str | int, ...], str]] = []
        retention = self.retention
        kept = {"minutes": retention.minutes_ns, "hours": retention.hours_ns, "days": retention.days_ns}
        for tally, length_ns in kept.items():
            if length_ns >= longest:
                continue
            length = format_duration(length_ns)
            if place and f"{tally}_ns" not in retention.model_fields_set:  # nothing in the file says how long
                why = f"needs tallies for {window}: write retention: {{{tally}: {window}}} or more, it is {length}"
                problems.append((place, why))
            else:
                problems.append(
                    (("retention", tally), f"must be at least the longest window, {window}{whose}, not {length}")
                )
        return problems

    @property
    def lease_ns(self) -> int:
        """How long a silent reporter keeps others away: 30 s, or longer where a push may take longer, if not given."""
        return self.report.lease_ns or max(30 * UNITS_NS["s"], 2 * self.pushgateway.timeout_ns)

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
        sentences = []
        for name, job in self.jobs.items():
            idle = [key for key in ("schedule", "timezone", "start_grace", "max_concurrent") if _is_set(job, key)]
            if idle:
                keys = ", ".join(idle)
                sentences.append(f"jobs.{name}: {keys}: kept, but runs are not yet compared with a schedule.")
        if self.budgets:
            names = ", ".join(budget.name for budget in self.budgets)
            sentences.append(f"budgets ({names}): kept, but cost budgets are not yet computed.")
        if self.exclusions:
            sentences.append("exclusions: kept, but no calls are left out yet; SLOs count those times as any other.")
        return tuple(sentences)


def _is_set(job: Job, key: str) -> bool:
    return key in job.model_fields_set or f"{key}_ns" in job.model_fields_set


def duplicate_names(sections: dict[str, list[Any]]) -> list[tuple[tuple[str | int, ...], str]]:
    """Return (location, sentence) for every name that an earlier entry of its section has already."""
    problems: list[tuple[tuple[str | int, ...], str]] = []
    for section, names in sections.items():
        for index, name in enumerate(names):
            if name is not None and (first := names.index(name)) < index:
                problems.append(((section, index, "name"), f"{name!r} is the name of {section}[{first}] already"))
    return problems
