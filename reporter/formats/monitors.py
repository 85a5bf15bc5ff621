"""Checks of healthchecks.io and monitors of Cronitor, as `jobs:` of reporter.yaml.

healthchecks.io   what `GET /api/v3/checks/` answers: name, slug, schedule and tz, or timeout, and grace
Cronitor          what `GET /api/monitors` answers, or its YAML file: key, schedule, timezone, grace_seconds

Both wait for a ping and `grace` beyond its time; here that is `start_grace`, as runs are known by their starts.
Source: https://healthchecks.io/docs/api/, https://cronitor.io/docs/monitor-api
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from reporter.config.document import Document, read_documents
from reporter.config.jobs import Job
from reporter.errors import ConfigError
from reporter.slo.durations import UNITS_NS, format_duration

MOST_NAME = 200
"""Characters of a job's name."""
_MOST_TOLD = 300  # characters of what it was called
_NO_FOLDING = 100_000  # columns
_WORDS = re.compile(r"(?:([0-9]{1,9}(?:\.[0-9]{1,6})?) ?)?([a-z]+)", re.ASCII)
_LIMIT = re.compile(r"metric\.duration <=? ?(.*)")
_AT = re.compile(r"at ([0-9]{1,2}):([0-9]{2})", re.ASCII)
_UNIT = {
    **dict.fromkeys(("s", "sec", "second"), "s"), **dict.fromkeys(("m", "min", "minute"), "m"),
    **dict.fromkeys(("h", "hr", "hour"), "h"), **dict.fromkeys(("d", "day"), "d"), **dict.fromkeys(("w", "week"), "w"),
}  # fmt: skip
"""Cronitor's units in the singular, and ours."""

Found = tuple[str, dict[str, Any], str, list[str]]
"""A job's name, its settings, why it can't be taken over or "", and what else of it can't."""
Read = Callable[[dict[str, Any]], Iterator[Found]]
"""What is found in a file's data."""


@dataclass(slots=True)
class Jobs:
    """Jobs as a person would write them, and what was left out and why."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)  # job → what it was called, where that can be no label
    left_out: list[str] = field(default_factory=list)

    def as_yaml(self) -> str:
        """A fragment of reporter.yaml."""
        if not self.jobs:
            return "jobs: {}\n"
        return "jobs:\n" + "".join(self._one(name, job) for name, job in self.jobs.items())

    def _one(self, name: str, job: dict[str, Any]) -> str:
        was = f"# was called {json.dumps(self.renamed[name])[:_MOST_TOLD]}\n" if name in self.renamed else ""
        dumped = yaml.safe_dump({name: job}, sort_keys=False, allow_unicode=True, width=_NO_FOLDING)
        return textwrap.indent(was + dumped, "  ")


def read(file: Path, kind: Read) -> Jobs:
    """The jobs in a file of that kind.

    Raises:
        ConfigError: it can't be read, or is of another kind.
    """
    found = Jobs()
    for called, job, trouble, untold in kind(_data(read_documents(file), file)):
        name = _as_label(called)
        if not name:
            trouble = "there is nothing to call it by"
        trouble = trouble or ("the name is there twice" if name in found.jobs else "") or _problem(job)
        if trouble:
            found.left_out.append(f"{file}: {name or 'one without a name'}: left out: {trouble}")
            continue
        found.jobs[name] = job
        found.left_out += [f"{file}: {name}: {what}: left out: `jobs:` can't say it" for what in untold]
        if name != called:
            found.renamed[name] = called
    return found


def _as_label(name: str) -> str:
    """A name as a job's can be: one line, of characters that can be seen, not too long."""
    if name.isprintable() and name == name.strip() and len(name) <= MOST_NAME:
        return name
    visible = "".join(character if character.isprintable() else " " for character in name)
    return " ".join(visible.split())[:MOST_NAME].strip()


def _data(documents: list[Document], file: Path) -> dict[str, Any]:
    if not documents or not isinstance(documents[0].data, dict):
        raise ConfigError(f"{file}: holds nothing")
    return documents[0].data


def healthchecks(data: dict[str, Any]) -> Iterator[Found]:
    """Checks, by slug or else by name; paused ones are left out.

    Raises:
        ConfigError: there are none.
    """
    for check in _each(data, "checks", "checks of healthchecks.io, as its API's /api/v3/checks/ answers"):
        job: dict[str, Any] = {}
        if check.get("schedule"):
            job = {"schedule": check["schedule"], "timezone": check.get("tz") or "UTC"}
        elif _is_count(check.get("timeout")):
            job = {"schedule": f"every {_length(check['timeout'])}"}
        if job and _is_count(check.get("grace")):
            job["start_grace"] = _length(check["grace"])
        trouble = "" if job else "it has neither schedule nor timeout"
        if check.get("status") == "paused":
            trouble = "it is paused"
        yield _first_text(check, "slug", "name"), job, trouble, []


def cronitor(data: dict[str, Any]) -> Iterator[Found]:
    """Monitors of jobs and heartbeats, by key; those of sites, and paused ones, are left out.

    Raises:
        ConfigError: there are none.
    """
    for monitor in _cronitors(data):
        job: dict[str, Any] = {}
        several = monitor.get("schedules")
        schedules = several if isinstance(several, list) and several else [monitor.get("schedule")]
        if schedules[0]:
            job["schedule"] = _schedule(str(schedules[0]))
            if monitor.get("timezone") and not job["schedule"].startswith("every "):
                job["timezone"] = monitor["timezone"]
            if _is_count(monitor.get("grace_seconds")):
                job["start_grace"] = _length(monitor["grace_seconds"])
        untold = []
        for assertion in _texts(monitor.get("assertions")):
            found = _LIMIT.fullmatch(" ".join(assertion.lower().split()))
            limit_ns = _length_ns(found[1]) if found and "max_duration" not in job else 0
            if limit_ns:
                job["max_duration"] = format_duration(limit_ns)
            else:
                untold.append(_as_label(assertion))
        trouble = ""
        if len(schedules) > 1:
            trouble = "it has several schedules, and a job here has one"
        elif monitor.get("type") in ("check", "site", "group"):
            trouble = f"a {monitor['type']} is no job"
        elif monitor.get("paused"):
            trouble = "it is paused"
        yield _first_text(monitor, "key", "name"), job, trouble, untold


def _schedule(text: str) -> str:
    """Cronitor's words in ours: `every 5 minutes` is `every 5m`, `at 10:20` is `20 10 * * *`; a cron expression stays."""
    words = " ".join(text.lower().split())
    if words.startswith("every ") and (length_ns := _length_ns(words.removeprefix("every "))):
        return f"every {format_duration(length_ns)}"
    if found := _AT.fullmatch(words):
        return f"{int(found[2])} {int(found[1])} * * *"
    return text


def _length_ns(words: str) -> int:
    """The length that Cronitor's words mean, like `5 minutes` or `day`; 0 if none."""
    found = _WORDS.fullmatch(words)
    unit = found and (_UNIT.get(found[2]) or _UNIT.get(found[2].removesuffix("s")))
    return int(Decimal(found[1] or 1) * UNITS_NS[unit]) if found and unit else 0


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _first_text(of: dict[str, Any], *keys: str) -> str:
    return next((str(of[key]) for key in keys if isinstance(of.get(key), str | int) and str(of[key]).strip()), "")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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
