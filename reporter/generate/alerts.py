"""Which alerts there are: of SLOs, money, jobs, calls, and of the reporter itself.

Every alert has one identity: what fires by one pair of windows and goes on by another is one alert that stays, because the
windows are in none of its labels.  `severity` is `page` or `ticket`, `source` says what it is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from reporter.family import Metric
from reporter.generate.burning import Budget, budget_alerts, inert_labels, slo_alerts
from reporter.generate.rules import AlertRule, RuleGroup, Source, inert, shell_label, value_of
from reporter.metrics import (
    AS_OF,
    JOB_LAST_START,
    JOB_LAST_SUCCESS,
    JOB_LATE_RUNS,
    JOB_RUNS,
    JOB_STATE,
    LLM_WINDOW_CALLS,
    LLM_WINDOW_DURATION,
    LLM_WINDOW_TOKENS_PER_SECOND,
    LLM_WINDOW_UNPRICED_CALLS,
    RECORDER_TROUBLES,
    REGRESSIONS_HELD,
    SERIES_CAPPED,
)
from reporter.slo.durations import format_duration, nearest, parse_duration
from reporter.slo.spec import SLO

STALE = "ReporterStale"
_PUSHED, _REFUSED = "push_time_seconds", "push_failure_time_seconds"  # the Pushgateway's own, of each group
_LEAST_CALLS = 10  # in the window of an alert about percentiles: fewer say nothing


class Counted(NamedTuple):
    """A counter of a job's runs that should stand still, and the labels of its series."""

    metric: Metric
    labels: Mapping[str, str]


class JobAlert(NamedTuple):
    """An alert about a job: while it is in a state, for an hour after something was counted, or both."""

    alert: str
    meaning: str
    state: str | None
    counted: Counted | None = None

    def expr(self, source: Source) -> str:
        parts = []
        if self.state is not None:
            parts.append(f"{source.select(JOB_STATE, state=self.state)} == 1")
        if self.counted is not None:
            counter = source.select(self.counted.metric, **self.counted.labels)
            known = f"{source.select(JOB_STATE)} {source.known_since('1h')}"
            parts.append(f"(increase({counter}[1h]) > 0 and on (batch_job) {known})")
        return f"max by (batch_job) ({' or '.join(parts)})"


JOB_ALERTS = (
    JobAlert("BatchJobMissed", "did not start when it was due", "missed"),
    # The state `late` is no news: the job may still start within the grace that it was given.
    JobAlert("BatchJobLate", "started a run after its grace was over", None, Counted(JOB_LATE_RUNS, {})),
    JobAlert("BatchJobFailed", "failed, and has not succeeded since", "failed"),
    # The state follows the run that started last, so a killed one shows in the counter alone when later runs succeed.
    JobAlert(
        "BatchJobLost",
        "had a run that began and never told of its end",
        "lost",
        Counted(JOB_RUNS, {"status": "lost"}),
    ),
    JobAlert(
        "BatchJobOverrunning", "took longer than its max_duration, or was stopped because its time was up", "overrun"
    ),
)


class Limits(Protocol):
    """When calls are too slow, as a person asked for it."""

    @property
    def slow_seconds(self) -> float: ...
    @property
    def slow_tokens_per_second(self) -> float: ...
    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def windows(self) -> Sequence[str]: ...


def alert_groups(
    source: Source, slos: Sequence[SLO], budgets: Sequence[Budget], limits: Limits, runbooks: str
) -> tuple[RuleGroup, ...]:
    """Every alert of a configuration; `runbooks` is where each one's page is, its name appended, or empty."""
    groups = {
        "reporter-itself": _of_itself(source),
        "reporter-slos": (rule for slo in slos for rule in slo_alerts(source, slo)),
        "reporter-budgets": (rule for budget in budgets for rule in budget_alerts(source, budget)),
        "reporter-jobs": _of_jobs(source),
        "reporter-calls": _of_calls(source, limits),
    }
    found = ((name, tuple(finished(source, rule, runbooks) for rule in rules)) for name, rules in groups.items())
    return tuple(RuleGroup(name=name, rules=rules) for name, rules in found if rules)


def _of_jobs(source: Source) -> Iterator[AlertRule]:
    start, success = (
        value_of(source, metric, "batch_job", of="time() - {}", show="humanizeDuration")
        for metric in (JOB_LAST_START, JOB_LAST_SUCCESS)
    )
    for job_alert in JOB_ALERTS:
        yield AlertRule(
            alert=job_alert.alert,
            expr=source.gated(job_alert.alert, job_alert.expr(source)),
            labels={"severity": "ticket", "source": "job"},
            annotations={
                "summary": f"{{{{ $labels.batch_job }}}} {job_alert.meaning}",
                "description": f"Its last success ended {success} ago, its last start was {start} ago.",
                "what_to_type": f"reporter runs --job={shell_label('batch_job')}",
            },
        )


def _of_calls(source: Source, limits: Limits) -> Iterator[AlertRule]:
    """Slow calls by what is pushed of the shortest window: counters stand still for minutes before numbers are old."""
    by, what = ", ".join(limits.labels), _subject(limits.labels)
    window = min(limits.windows, key=parse_duration)
    enough = f"\nand\nsum by ({by}) ({source.select(LLM_WINDOW_CALLS, window=window)}) >= {_LEAST_CALLS}"
    slow = f"max by ({by}) ({source.select(LLM_WINDOW_DURATION, window=window, quantile='0.99')}) > {limits.slow_seconds:g}"
    yield AlertRule(
        alert="LLMLatencyHigh",
        expr=source.gated("LLMLatencyHigh", slow + enough),
        labels={"severity": "ticket", "source": "calls"},
        annotations={
            "summary": f"{what} is slow: p99 above {limits.slow_seconds:g} s",
            "description": f"{'; '.join([f'Over {window}', *_labels(limits.labels)])}.",
            "what_to_type": "reporter cost --by provider,model --compare --since 1h",
        },
        held_for="5m",
    )
    speed = source.select(LLM_WINDOW_TOKENS_PER_SECOND, window=window, quantile="0.5")
    yield AlertRule(
        alert="LLMThroughputLow",
        expr=source.gated("LLMThroughputLow", f"min by ({by}) ({speed}) < {limits.slow_tokens_per_second:g}{enough}"),
        labels={"severity": "ticket", "source": "calls"},
        annotations={
            "summary": f"{what} answers slowly: p50 below {limits.slow_tokens_per_second:g} tokens/s",
            "description": (
                f'The median is {{{{ $value | printf "%.3g" }}}} tokens/s over {window}'
                f"{''.join(f'; {label}' for label in _labels(limits.labels))}."
            ),
            "what_to_type": "reporter cost --by provider,model --compare --since 1h",
        },
        held_for="10m",
    )
    hour = nearest(limits.windows, "1h")
    unpriced = f"sum by ({by}) ({source.select(LLM_WINDOW_UNPRICED_CALLS, window=hour)}) > 0"
    has_model = "model" in limits.labels
    yield AlertRule(
        alert="LLMCallsUnpriced",
        expr=source.gated("LLMCallsUnpriced", unpriced),
        labels={"severity": "ticket", "source": "calls"},
        annotations={
            "summary": f"Calls ({what}) have no price, so every total that should have them is too low",
            "description": "; ".join(
                [f'{{{{ $value | printf "%.0f" }}}} calls in the last {hour}', *_labels(limits.labels)]
            )
            + ".",
            "what_to_type": (
                f"reporter prices explain -- {shell_label('model')}"
                if has_model
                else "reporter sql 'SELECT * FROM v_unpriced'"
            ),
        },
    )


def _subject(names: Sequence[str]) -> str:
    """What an alert about calls is about, by the labels that they have here."""
    return "{{ $labels.model }}" if "model" in names else ", ".join(_labels(names)) or "LLM calls"


def _labels(names: Sequence[str]) -> list[str]:
    return [f"{name}: {{{{ $labels.{name} }}}}" for name in names]


def _of_itself(source: Source) -> Iterator[AlertRule]:
    group = ", ".join(source.grouping)
    limit = format_duration(source.stale_after_seconds * 10**9)
    yield AlertRule(
        alert=STALE,  # one alert for both, because two would resolve each other in the middle of an outage
        expr=(
            f"abs(time() - max by ({group}) ({source.select(AS_OF)})) > {source.stale_after_seconds}\n"
            f"or\nabsent({source.select(AS_OF)})"
        ),
        labels={"severity": "page", "source": "reporter"},
        annotations={
            "summary": f"No report for more than {limit}: nobody knows how SLOs, jobs and money are",
            "description": (
                "Alerts of SLOs, budgets, jobs and calls neither begin nor end meanwhile. Is the cron job or `reporter serve`"
                " running, is the database up, does the gateway answer, are the clocks right?"
            ),
            "what_to_type": "reporter push",
        },
        held_for="2m",
    )
    yield AlertRule(
        alert="ReporterPushRefused",
        expr=f"{source.select(_REFUSED)} > {source.select(_PUSHED)}",
        labels={"severity": "ticket", "source": "reporter"},
        annotations={
            "summary": "The gateway refused the latest push",
            "description": "Its reason is in what `reporter push` says.",
            "what_to_type": "reporter push",
        },
    )
    known = f"and on () {source.select(AS_OF)} {source.known_since('1h')}"
    for alert, expr, summary, command in (
        (
            "ReporterCountersHeld",
            f"increase({source.select(REGRESSIONS_HELD)}[1h]) > 0 {known}",
            "Counters were about to fall and were held: was the database restored, or history corrected?",
            "reporter push --dry-run",
        ),
        (
            "ReporterSeriesCapped",
            f"{source.select(SERIES_CAPPED)} > 0",
            'Label values are too many and count as "other": raise report.max_values_per_label, or leave a label out',
            "reporter report",
        ),
        (
            "ReporterRecordingTroubles",
            f"sum by (trouble) (increase({source.select(RECORDER_TROUBLES)}[1h])) > 0 {known}",
            "Recorders had trouble ({{ $labels.trouble }}): facts may be missing",
            "reporter sql 'SELECT * FROM troubles ORDER BY at_ns DESC LIMIT 20'",
        ),
    ):
        yield AlertRule(
            alert=alert,
            expr=expr,
            labels={"severity": "ticket", "source": "reporter"},
            annotations={"summary": summary, "what_to_type": command},
        )


def finished(source: Source, rule: AlertRule, runbooks: str) -> AlertRule:
    """The rule with what all have: the labels of its reporter, and where its runbook is."""
    told = {**rule.annotations}
    if runbooks:
        told.setdefault("runbook_url", f"{inert(runbooks)}{rule.alert}")
    return AlertRule(
        alert=rule.alert, expr=rule.expr, labels={**rule.labels, **inert_labels(source.own_labels)}, annotations=told,
        held_for=rule.held_for, no_news=rule.no_news,
    )  # fmt: skip
