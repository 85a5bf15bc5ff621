"""Checks of healthchecks.io and monitors of Cronitor, as `jobs:` of reporter.yaml.

healthchecks.io   what `GET /api/v3/checks/` answers: name, slug, schedule and tz, or timeout, and grace
Cronitor          what `GET /api/monitors` answers, or its YAML file: key, schedule, timezone, grace_seconds

Both wait for a ping and `grace` beyond its time; here that is `start_grace`, as runs are known by their starts.
Source: https://healthchecks.io/docs/api/, https://cronitor.io/docs/monitor-api
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from reporter.config.document import Document, read_documents
from reporter.config.jobs import Job
from reporter.errors import ConfigError
from reporter.slo.durations import UNITS_NS, format_duration

Read = Callable[[dict[str, Any]], Iterator[tuple[str, dict[str, Any], str]]]
"""A file's data → (job, its settings, why it can't be taken over or "")."""


@dataclass(slots=True)
class Jobs:
    """Jobs as a person would write them, and what was left out and why."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def as_yaml(self) -> str:
        """A fragment of reporter.yaml."""
        if not self.jobs:
            return "jobs: {}\n"
        return yaml.safe_dump({"jobs": self.jobs}, sort_keys=False, allow_unicode=True, width=120)


def read(file: Path, kind: Read) -> Jobs:
    """The jobs in a file of that kind.

    Raises:
        ConfigError: it can't be read, or is of another kind.
    """
    found = Jobs()
    for name, job, trouble in kind(_data(read_documents(file), file)):
        trouble = trouble or ("the name is there twice" if name in found.jobs else "") or _problem(job)
        if trouble:
            found.left_out.append(f"{file}: {name or 'one without a name'}: left out: {trouble}")
        else:
            found.jobs[name] = job
    return found


def _data(documents: list[Document], file: Path) -> dict[str, Any]:
    if not documents or not isinstance(documents[0].data, dict):
        raise ConfigError(f"{file}: holds nothing")
    return documents[0].data


def healthchecks(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Checks, by slug or else by name; paused ones are left out.

    Raises:
        ConfigError: there are none.
    """
    for check in _each(data, "checks", "checks of healthchecks.io, as its API's /api/v3/checks/ answers"):
        job: dict[str, Any] = {}
        if check.get("schedule"):
            job = {"schedule": check["schedule"], "timezone": check.get("tz") or "UTC"}
        elif isinstance(check.get("timeout"), int):
            job = {"schedule": f"every {_length(check['timeout'])}"}
        if job and isinstance(check.get("grace"), int):
            job["start_grace"] = _length(check["grace"])
        trouble = "" if job else "it has neither schedule nor timeout"
        if check.get("status") == "paused":
            trouble = "it is paused"
        yield str(check.get("slug") or check.get("name") or ""), job, trouble


def cronitor(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Monitors of jobs and heartbeats, by key; those of sites, and paused ones, are left out.

    Raises:
        ConfigError: there are none.
    """
    for monitor in _cronitors(data):
        job: dict[str, Any] = {}
        schedules = monitor.get("schedules") or [monitor.get("schedule")]
        if schedules[0]:
            job["schedule"] = str(schedules[0])
            if monitor.get("timezone") and not job["schedule"].startswith("every "):
                job["timezone"] = monitor["timezone"]
            if isinstance(monitor.get("grace_seconds"), int):
                job["start_grace"] = _length(monitor["grace_seconds"])
        trouble = ""
        if len(schedules) > 1:
            trouble = "it has several schedules, and a job here has one"
        elif monitor.get("type") in ("check", "site", "group"):
            trouble = f"a {monitor['type']} is no job"
        elif monitor.get("paused"):
            trouble = "it is paused"
        yield str(monitor.get("key") or monitor.get("name") or ""), job, trouble


def _cronitors(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    what = "monitors of Cronitor, as its API's /api/monitors answers or its YAML file has them"
    if "monitors" in data:
        yield from _each(data, "monitors", what)
        return
    sections = [section for section in ("jobs", "heartbeats") if isinstance(data.get(section), dict)]
    if not sections:
        raise ConfigError(f"there are no {what}")
    for section in sections:
        for key, monitor in data[section].items():
            yield {"key": key, **(monitor if isinstance(monitor, dict) else {})}


def _each(data: dict[str, Any], key: str, what: str) -> Iterator[dict[str, Any]]:
    found = data.get(key)
    if not isinstance(found, list):
        raise ConfigError(f"there are no {what}")
    yield from (one for one in found if isinstance(one, dict))


def _length(seconds: int) -> str:
    return format_duration(max(0, seconds) * UNITS_NS["s"])


def _problem(job: dict[str, Any]) -> str:
    try:
        Job.model_validate(job)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "it"
        return f"{place} {first['msg'].removeprefix('Value error, ')}"
    return ""
