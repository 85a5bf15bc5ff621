"""Jobs, their last runs, and calls that stand out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reporter.html.history import Page
from reporter.html.markup import Markup, own, tag
from reporter.html.tables import NUMBER, TEXT, WHEN, table
from reporter.html.words import dollars, minute, seconds_of
from reporter.report.model import JobStatus
from reporter.report.words import NOTHING, seconds

_CAPTIONS = {"slowest": "Slowest", "dearest": "Dearest", "failed": "Latest that were no success"}


def job_section(page: Page) -> Iterator[Markup]:
    """Every job, and the runs started last."""
    if not page.status.report.jobs:
        yield tag("p", "No job has run yet.", class_="muted")
        return
    yield _jobs(page.status.report.jobs)
    if page.runs:
        yield _runs(page.runs)


def call_section(page: Page) -> Iterator[Markup]:
    """The calls that people look for first."""
    for name, found in page.calls.items():
        if found:
            yield _calls(_CAPTIONS[name], found)
    if not any(page.calls.values()):
        yield tag("p", "No call in this time, or raw calls were pruned (retention.calls).", class_="muted")


def _jobs(jobs: Sequence[JobStatus]) -> Markup:
    rows = [
        (
            own(job.batch_job), _state(job.state), f"{job.runs:,}", f"{job.failed_runs:,}", f"{job.lost_runs:,}",
            NOTHING if job.missed_runs_at_ns is None else f"{len(job.missed_runs_at_ns):,}",
            minute(job.last_start_at_ns), minute(job.last_success_at_ns), minute(job.next_run_at_ns),
            seconds(job.last_duration_seconds),
        )
        for job in jobs
    ]  # fmt: skip
    names = (
        ("job", TEXT), ("state", WHEN), ("runs", NUMBER), ("failed", NUMBER), ("lost", NUMBER),
        ("missed", NUMBER), ("last start (UTC)", WHEN),
        ("last success (UTC)", WHEN), ("next (UTC)", WHEN), ("took", NUMBER),
    )  # fmt: skip
    return table("All jobs", names, rows)


def _runs(runs: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        (
            minute(run["started_at_ns"]), own(run["batch_job"]), _state(run["status"]), own(_failure(run)),
            seconds_of(run["duration_ns"]), NOTHING if run["items"] is None else f"{run['items']:,}",
            tag("code", own(run["run_id"])),
        )
        for run in runs
    ]  # fmt: skip
    names = (
        ("started (UTC)", WHEN), ("job", TEXT), ("status", WHEN), ("why", TEXT), ("took", NUMBER),
        ("items", NUMBER), ("run", TEXT),
    )  # fmt: skip
    return table("Last runs", names, rows)


def _failure(run: Mapping[str, Any]) -> str:
    if run["error_type"]:
        return str(run["error_type"])
    return f"exit {run['exit_code']}" if run["exit_code"] else NOTHING


def _calls(caption: str, found: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        (
            minute(call["ended_at_ns"]), own(call["batch_job"] or NOTHING), own(call["operation"]),
            own(call["model"] or NOTHING), _status(call), seconds_of(call["duration_ns"]),
            seconds_of(call["ttft_ns"]), _cost(call),
            tag("code", own(call["call_id"])),
        )
        for call in found
    ]  # fmt: skip
    names = (
        ("ended (UTC)", WHEN), ("job", TEXT), ("operation", TEXT), ("model", TEXT), ("status", TEXT), ("took", NUMBER),
        ("TTFT", NUMBER), ("USD", NUMBER), ("call", TEXT),
    )  # fmt: skip
    return table(caption, names, rows)


def _cost(call: Mapping[str, Any]) -> str:
    if call["cost_nanousd"] is None:
        return "?" if call["model"] else NOTHING
    return dollars(call["cost_nanousd"])


def _status(call: Mapping[str, Any]) -> Markup:
    if not call["error_type"]:
        return _state(call["status"])
    return tag("span", f"{call['status']} ", own(call["error_type"]), class_="error")


_KNOWN = ("ok", "success", "running", "late", "missed", "failed", "lost", "overrun", "timeout", "error")


def _state(told: str) -> Markup:
    return tag("span", told, class_=f"state {'ok' if told == 'success' else told}" if told in _KNOWN else "state")
