"""Which alerts there are: of SLOs, money, jobs, calls, and of the reporter itself.

Every alert has one identity: what fires by one pair of windows and goes on by another is one alert that stays, because the
windows are in none of its labels.  `severity` is `page` or `ticket`, `source` says what it is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from reporter.family import Metric
from reporter.generate.burning import Budget, budget_alerts, slo_alerts
from reporter.generate.rules import AlertRule, RuleGroup, Source, inert, value_of
from reporter.metrics import (
    AS_OF,
    JOB_LAST_START,
    JOB_LAST_SUCCESS,
    JOB_LATE_RUNS,
    JOB_RUNS,
    JOB_STATE,
    LLM_REQUEST_DURATION,
    LLM_TOKENS_PER_SECOND,
    LLM_UNPRICED_REQUESTS,
    LLM_WINDOW_DURATION,
    RECORDER_TROUBLES,
    REGRESSIONS_HELD,
    SERIES_CAPPED,
)
from reporter.slo.durations import format_duration, parse_duration
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
            parts.append(f"increase({counter}[1h]) > 0")
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
    found = ((name, tuple(_with_runbook(rule, runbooks) for rule in rules)) for name, rules in groups.items())
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
                "what_to_type": "reporter runs --job '{{ $labels.batch_job }}'",
            },
        )


def _of_calls(source: Source, limits: Limits) -> Iterator[AlertRule]:
    by = ", ".join(limits.labels)
    names_models = "model" in limits.labels
    model = "{{ $labels.model }}" if names_models else "An LLM"
    shortest = min(limits.windows, key=parse_duration)
    slow = (
        f"max by ({by}) ({source.select(LLM_WINDOW_DURATION, window=shortest, quantile='0.99')}) > {limits.slow_seconds:g}\n"
        f"and\nsum by ({by}) (increase({source.select(LLM_REQUEST_DURATION.name + '_count')}[{shortest}])) >= {_LEAST_CALLS}"
    )
    yield AlertRule(
        alert="LLMLatencyHigh",
        expr=source.gated("LLMLatencyHigh", slow),
        labels={"severity": "ticket", "source": "calls"},
        annotations={
            "summary": f"{model} is slow: p99 above {limits.slow_seconds:g} s",
            "description": f"Over {shortest}; {_labels(limits.labels)}.",
            "what_to_type": "reporter cost --by provider,model --compare --since 1h",
        },
        held_for="5m",
    )
    speed = LLM_TOKENS_PER_SECOND.name
    few = (
        f"histogram_quantile(0.5, sum by (le, {by}) (rate({source.select(f'{speed}_bucket')}[10m])))"
        f" < {limits.slow_tokens_per_second:g}\n"
        f"and\nsum by ({by}) (increase({source.select(f'{speed}_count')}[10m])) >= {_LEAST_CALLS}"
    )
    yield AlertRule(
        alert="LLMThroughputLow",
        expr=source.gated("LLMThroughputLow", few),
        labels={"severity": "ticket", "source": "calls"},
        annotations={
            "summary": f"{model} answers slowly: p50 below {limits.slow_tokens_per_second:g} tokens/s",
            "description": f'The median is {{{{ $value | printf "%.3g" }}}} tokens/s over 10m; {_labels(limits.labels)}.',
            "what_to_type": "reporter cost --by provider,model --compare --since 1h",
        },
        held_for="10m",
    )
    yield AlertRule(
        alert="LLMCallsUnpriced",
        expr=f"sum by ({by}) (increase({source.select(LLM_UNPRICED_REQUESTS)}[1h])) > 0",
        labels={"severity": "ticket", "source": "calls"},
        annotations={
            "summary": (
                f"Calls to {model if names_models else 'LLMs'} have no price, so every total that should have them is too low"
            ),
            "description": f'{{{{ $value | printf "%.0f" }}}} calls in the last hour; {_labels(limits.labels)}.',
            "what_to_type": (
                "reporter prices explain '{{ $labels.model }}'"
                if names_models
                else "reporter sql 'SELECT * FROM v_unpriced'"
            ),
        },
    )


def _labels(names: Sequence[str]) -> str:
    return ", ".join(f"{name}: {{{{ $labels.{name} }}}}" for name in names)


def _of_itself(source: Source) -> Iterator[AlertRule]:
    group = ", ".join(source.grouping)
    limit = format_duration(source.stale_after_seconds * 10**9)
    yield AlertRule(
        alert=STALE,  # one alert for both, because two would resolve each other in the middle of an outage
        expr=(
            f"time() - max by ({group}) ({source.select(AS_OF)}) > {source.stale_after_seconds}\n"
            f"or\nabsent({source.select(AS_OF)})"
        ),
        labels={"severity": "page", "source": "reporter"},
        annotations={
            "summary": f"No report for more than {limit}: nobody knows how SLOs, jobs and money are",
            "description": (
                "Alerts of SLOs, budgets, jobs and calls neither begin nor end meanwhile. Is the cron job or `reporter serve`"
                " running, is the database up, does the gateway answer?"
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
    for alert, expr, summary, command in (
        (
            "ReporterCountersHeld",
            f"increase({source.select(REGRESSIONS_HELD)}[1h]) > 0",
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
            f"sum by (trouble) (increase({source.select(RECORDER_TROUBLES)}[1h])) > 0",
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


def _with_runbook(rule: AlertRule, runbooks: str) -> AlertRule:
    if not runbooks or "runbook_url" in rule.annotations:
        return rule
    url = f"{inert(runbooks)}{rule.alert}"
    return AlertRule(
        alert=rule.alert, expr=rule.expr, labels=rule.labels, held_for=rule.held_for,
        annotations={**rule.annotations, "runbook_url": url},
    )  # fmt: skip
