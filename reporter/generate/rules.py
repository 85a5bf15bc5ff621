"""PromQL in pieces: selectors, rules, and the gate that keeps a dead reporter's last numbers from meaning anything."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from reporter.family import Metric
from reporter.metrics import AS_OF
from reporter.slo.durations import format_duration, parse_duration

_BRACES = '{{"{{"}}'
_SETTLED_SECONDS = 120  # beside the time between two pushes: to be scraped, and looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """One alerting rule; with its labels it is one alert for each series of `expr`."""

    alert: str
    expr: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    held_for: str = ""  # Prometheus' `for`
    no_news: str = (
        ""  # an expression that has a series while nothing is heard of what it is about: it stays what it was
    )

    @property
    def severity(self) -> str:
        return self.labels["severity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingRule:
    """One recording rule."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleGroup:
    """Rules that are evaluated one after the other."""

    name: str
    rules: tuple[AlertRule | RecordingRule, ...]


def quoted(text: str) -> str:
    """A string of PromQL's; it reads escapes as Go does."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def inert(text: str) -> str:
    """Somebody's words, with nothing in them that a template would obey."""
    return text.replace("{{", _BRACES)


def rendered(text: str) -> str:
    """The words that a template makes of what is `inert`, for where there are no templates."""
    return text.replace(_BRACES, "{{")


def shell_word(text: str) -> str:
    """Somebody's words as one word of a command to type, and as nothing else: neither a command, an option nor a template."""
    return inert(f"-- {shlex.quote(text)}" if text.startswith("-") else shlex.quote(text))


def shell_label(label: str) -> str:
    """A template of a label's value, quoted for a shell: who reads the alert did not choose what it is."""
    return _SHELL_LABEL % label


_SHELL_LABEL = r"""'{{ $labels.%s | reReplaceAll "[[:cntrl:]]" "?" | reReplaceAll "'" "'\\''" }}'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The group of the Pushgateway that is looked at, and how old what is in it may be."""

    grouping: Mapping[str, str]
    stale_after_seconds: int

    def select(self, metric: Metric | str, **labels: str) -> str:
        """A selector of a metric's series: of this group, with these labels."""
        name = metric if isinstance(metric, str) else metric.name
        matchers = ",".join(f"{label}={quoted(value)}" for label, value in (*self.grouping.items(), *labels.items()))
        return f"{name}{{{matchers}}}"

    @property
    def own_labels(self) -> Mapping[str, str]:
        """The labels of the group that tell it from another reporter's: its alerts and records have them, too."""
        return {label: value for label, value in self.grouping.items() if (label, value) != ("job", "reporter")}

    @property
    def age(self) -> str:
        """How old the numbers are, in seconds."""
        return f"time() - max({self.select(AS_OF)})"

    @property
    def is_fresh(self) -> str:
        """Something exactly while the numbers are fresh."""
        return f"(abs({self.age}) < {self.stale_after_seconds})"  # a report of the future would be fresh until then

    def known_since(self, window: str) -> str:
        """The offset at which what is older than `window` was known already, and so what `increase` sees in it is news.

        A counter that comes in new tells all of its past between its first two pushes: it was 0, then it is the truth.
        """
        settled_ns = (self.stale_after_seconds + _SETTLED_SECONDS) * 10**9
        return f"offset {format_duration(parse_duration(window) + settled_ns)}"

    def gated(self, alert: str, expr: str, *, no_news: str = "", **labels: str) -> str:
        """`expr` while the numbers are fresh; when they are not, or there is `no_news`, whatever of this alert fired before.

        So a burn rate that was left behind by a dead reporter begins nothing, and its absence ends nothing; that there is no
        news is told by an alert of its own.
        """
        news = self.is_fresh if not no_news else f"({self.is_fresh} unless on () (\n{indented(no_news)}\n))"
        same = (
            "without (alertstate)"
            if not no_news
            else f"by ({', '.join(name for name in labels if name != 'severity')})"
        )
        return (
            f"(\n{indented(expr)}\n)\nand on () {self.is_fresh}\n"
            f"or\nmax {same} ({self.firing(alert, **labels)})\nunless on () {news}"
        )

    def firing(self, alert: str, **labels: str) -> str:
        """A selector of this reporter's alerts of that name while they fire."""
        told = {"alertname": alert, "alertstate": "firing", **dict(sorted({**labels, **self.own_labels}.items()))}
        return f"ALERTS{{{','.join(f'{name}={quoted(value)}' for name, value in told.items())}}}"


def indented(text: str) -> str:
    """An expression within another's parentheses."""
    return "\n".join(f"  {line}" for line in text.splitlines())


def value_of(
    source: Source, metric: Metric | str, by: str, *, show: str = 'printf "%.3g"', of: str = "{}", **labels: str
) -> str:
    """A template of a metric's value for the `by` that an alert is about; a question mark where there is none.

    `of` is an expression of it, `show` a function of templates.
    """
    matchers = [
        f"{name}={quoted(value)}".replace("%", "%%") for name, value in (*source.grouping.items(), *labels.items())
    ]
    name = metric if isinstance(metric, str) else metric.name
    query = of.format(f"{name}{{{','.join([*matchers, f'{by}=%q'])}}}")
    value = f"printf {quoted(query)} $labels.{by} | query"
    return f"{{{{ with {value} }}}}{{{{ . | first | value | {show} }}}}{{{{ else }}}}?{{{{ end }}}}"
