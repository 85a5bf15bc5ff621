"""Dashboards of what runs: batch jobs, and the reporter itself."""

from __future__ import annotations

from reporter.generate.grafana.dashboard import TAG, Dashboard, Scope, Variable
from reporter.generate.grafana.panels import (
    BLUE,
    GREEN,
    NEW_COUNTER,
    NONE_WANTED,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Panel,
    lines,
    stat,
    states,
    table,
)
from reporter.metrics import (
    AS_OF,
    BAD_LINES,
    BUILD_INFO,
    CALLS_FOLDED,
    JOB_ITEMS,
    JOB_LAST_DURATION,
    JOB_LAST_EXIT_CODE,
    JOB_LAST_SUCCESS,
    JOB_LATE_RUNS,
    JOB_MISSED_RUNS,
    JOB_NEXT_RUN,
    JOB_OVERLAPS,
    JOB_OVERRUNS,
    JOB_RUNNING,
    JOB_RUNS,
    JOB_STATE,
    JOB_TOO_FAST_RUNS,
    LAST_SUCCESS,
    LATE_TICKS,
    LOST_CALLS,
    MISSED_TICKS,
    RECORDER_TROUBLES,
    REGRESSIONS_HELD,
    REPORT_DURATION,
    SERIES_CAPPED,
    SNAPSHOT_SEQUENCE,
)

JOBS, ITSELF = "reporter-batch-jobs", "reporter-itself"
STATE_COLORS = {
    "ok": GREEN, "running": BLUE, "late": YELLOW, "missed": ORANGE, "overrun": ORANGE, "failed": RED, "lost": RED,
    "unknown": "gray",
}  # fmt: skip
IN_TROUBLE = ("late", "missed", "overrun", "failed", "lost")
_JOB = Variable(name="batch_job", label="Job", of=JOB_STATE.name)


def jobs(scope: Scope) -> Dashboard:
    """Batch jobs: did they run, did they succeed, how long did they take."""
    unpunctual = (
        ("missed", JOB_MISSED_RUNS),
        ("late", JOB_LATE_RUNS),
        ("overrun", JOB_OVERRUNS),
        ("overlap", JOB_OVERLAPS),
        ("too fast", JOB_TOO_FAST_RUNS),
    )
    by_value = {value: (state, color) for value, (state, color) in enumerate(STATE_COLORS.items())}
    numbered = "\nor ".join(
        f"max by (batch_job) ({value} * {scope.select(JOB_STATE, _JOB, state=state)})"
        for value, (state, _) in by_value.items()
    )
    return Dashboard(
        uid=scope.own(JOBS),
        tag=scope.own(TAG),
        title=f"{scope.called} / Batch jobs",
        says="Runs of batch jobs.",
        variables=(_JOB,),
        since="now-7d",
        rows=(
            (9, (_jobs_now(scope),)),
            (8, (states("State", "The state of each job as reports saw it.", "{{batch_job}}", numbered, by_value),)),
            (
                8,
                (
                    lines("Duration of the latest run", "How long each job's latest ended run took.",
                          {"{{batch_job}}": f"max by (batch_job) ({scope.select(JOB_LAST_DURATION, _JOB)})"}, unit="s"),
                    lines("Time since the last success", "It falls to nothing with every run that succeeds.",
                          {"{{batch_job}}": f"time() - max by (batch_job) ({scope.select(JOB_LAST_SUCCESS, _JOB)})"},
                          unit="s"),
                ),
            ),
            (
                8,
                (
                    lines("Ended runs by outcome, 1h", f"Runs that ended in the hour before each point. {NEW_COUNTER}",
                          {"{{status}}": f"sum by (status) (increase({scope.select(JOB_RUNS, _JOB)}[1h]))"},
                          unit="short", stacked=True),
                    lines("Items", "Items that each job's latest ended run says it did.",
                          {"{{batch_job}}": f"max by (batch_job) ({scope.select(JOB_ITEMS, _JOB)})"}, unit="short"),
                ),
            ),
            (
                8,
                (
                    lines("Not as planned, 1h",
                          f"Runs missed, late, out of time, beside others, or done too soon. {NEW_COUNTER}",
                          {
                              f"{word} {{{{batch_job}}}}": f"sum by (batch_job) (increase({scope.select(metric, _JOB)}[1h]))"
                              for word, metric in unpunctual
                          }, unit="short"),
                    lines("Runs in progress", "Runs that started and did not end.",
                          {"{{batch_job}}": f"max by (batch_job) ({scope.select(JOB_RUNNING, _JOB)})"}, unit="short"),
                ),
            ),
        ),
    )  # fmt: skip


def _jobs_now(scope: Scope) -> Panel:
    def latest(metric: str, factor: str = "") -> str:
        return f"max by (batch_job) ({metric}){factor}"

    return table(
        "Jobs",
        "Each job as the latest report sees it.",
        {"batch_job": "Job", "state": "State"},
        [
            Column(name="", expr=f"max by (batch_job, state) ({scope.select(JOB_STATE, _JOB)})"),
            Column(name="Last success", expr=latest(scope.select(JOB_LAST_SUCCESS, _JOB), " * 1000"), unit="dateTimeFromNow"),
            Column(name="Next run", expr=latest(scope.select(JOB_NEXT_RUN, _JOB), " * 1000"), unit="dateTimeFromNow"),
            Column(name="Duration", expr=latest(scope.select(JOB_LAST_DURATION, _JOB)), unit="s"),
            Column(name="Exit code", expr=latest(scope.select(JOB_LAST_EXIT_CODE, _JOB)), steps=NONE_WANTED),
            Column(name="Running", expr=latest(scope.select(JOB_RUNNING, _JOB))),
            Column(name="Items", expr=latest(scope.select(JOB_ITEMS, _JOB))),
        ],
        words={"State": STATE_COLORS},
    )  # fmt: skip


def itself(scope: Scope) -> Dashboard:
    """The reporter: is it alive, is it quick, what went wrong."""
    stale = float(scope.source.stale_after_seconds)
    push, refused = (scope.select(name) for name in ("push_time_seconds", "push_failure_time_seconds"))
    troubles = f"sum by (trouble) (increase({scope.select(RECORDER_TROUBLES)}[1h]))"
    held = (
        ("lost calls", LOST_CALLS),
        ("bad lines", BAD_LINES),
        ("counters held", REGRESSIONS_HELD),
        ("late turns", LATE_TICKS),
        ("missed turns", MISSED_TICKS),
    )
    return Dashboard(
        uid=scope.own(ITSELF),
        tag=scope.own(TAG),
        title=f"{scope.called} / Reporter",
        says="The reporter itself: whether the other pages can be believed.",
        rows=(
            (
                4,
                (
                    stat("Age of the report", "How long ago the windows of the latest report end.", scope.source.age, unit="s",
                         steps=((GREEN, None), (ORANGE, 150.0), (RED, stale))),
                    stat("Last snapshot", "How long ago the latest snapshot that arrived was made.",
                         f"time() - max({scope.select(LAST_SUCCESS)})", unit="s",
                         steps=((GREEN, None), (ORANGE, 150.0), (RED, stale))),
                    stat("Last push", "How long ago the gateway took a push.", f"time() - max({push})", unit="s"),
                    stat("Refused", "1 while the latest push to the gateway was refused.", f"max({refused} > bool {push})",
                         unit="short", steps=NONE_WANTED),
                    stat("Values capped", 'Label values that count as "other" because there were too many.',
                         f"max({scope.select(SERIES_CAPPED)})", unit="short", steps=((GREEN, None), (ORANGE, 1.0))),
                    stat("Version", "The reporter that made the latest report.",
                         f"max by (version) ({scope.select(BUILD_INFO)})", unit="short",
                         displayName="${__field.labels.version}"),
                ),
            ),
            (
                8,
                (
                    lines("Age of the report over time", "A saw that grows means that reports stopped.",
                          {"age": f"time() - max({scope.select(AS_OF)})"}, unit="s", steps=((GREEN, None), (RED, stale))),
                    lines("Time a report takes", "Reading tallies and computing; not the push.",
                          {"seconds": f"max({scope.select(REPORT_DURATION)})"}, unit="s"),
                ),
            ),
            (
                8,
                (
                    lines("Calls folded", "Calls that went into the tallies, a second.",
                          {"calls": f"sum(rate({scope.select(CALLS_FOLDED)}[$__rate_interval]))"}, unit="reqps", width=8),
                    lines("Went wrong, 1h",
                          f"Calls lost, lines that can't be read, counters about to fall, turns of serve. {NEW_COUNTER}",
                          {word: f"sum(increase({scope.select(metric)}[1h]))" for word, metric in held},
                          unit="short", width=8),
                    lines("Troubles of recorders, 1h", f"What recorders could not do, by kind. None is best. {NEW_COUNTER}",
                          {"{{trouble}}": troubles}, unit="short", width=8),
                ),
            ),
            (
                6,
                (
                    lines("Snapshots", "Each report has a number larger than any before it.",
                          {"sequence": f"max({scope.select(SNAPSHOT_SEQUENCE)})"}, unit="short", width=24),
                ),
            ),
        ),
    )  # fmt: skip
