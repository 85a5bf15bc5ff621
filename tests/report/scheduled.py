"""What tests of schedules share: a reporter whose moments are given, and runs as jobs record them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from reporter import cycle
from reporter.config import parse_config
from reporter.config.model import Config
from reporter.fold import FoldRules, fold
from reporter.lease import acquire
from reporter.report.json_form import as_json
from reporter.report.model import Report
from reporter.store import Store, open_store
from tests.publish.pushing import bring_in

NS, MINUTE_NS, HOUR_NS, DAY_NS = 10**9, 60 * 10**9, 3600 * 10**9, 86_400 * 10**9


def at(text: str) -> int:
    """A moment in ns."""
    return int(datetime.fromisoformat(text).timestamp()) * NS


class Place:
    """A database, what is expected of its jobs, and a reporter that comes when it is told."""

    def __init__(self, url: str, directory: Path, **jobs: dict[str, Any]) -> None:
        self.store: Store = open_store(url)
        self.directory = directory
        self.expect(**jobs)

    def expect(self, **jobs: dict[str, Any]) -> None:
        """Change the configuration."""
        self.config: Config = parse_config(json.dumps({"database": self.store.url, "jobs": jobs}), environ={})

    def run(self, job: str, start: str, end: str | None = None, status: str = "success", **more: Any) -> None:
        """Bring in a run; without an end, one under way."""
        fact = {"kind": "run", "run_id": f"{job} {start}", "batch_job": job, "started_at": start, **more}
        if end is None:
            fact |= {"status": "running"}
        else:
            fact |= {"status": status, "ended_at": end, "duration_ns": at(end) - at(start)}
        bring_in(self.store, self.directory, [fact])

    def runs(self, job: str, starts_ns: Iterable[int]) -> None:
        """Bring in runs of 20 seconds, all at once."""
        facts = [
            {"kind": "run", "run_id": f"{job} {ns}", "batch_job": job, "started_at_ns": ns, "status": "success",
             "ended_at_ns": ns + 20 * NS, "duration_ns": 20 * NS}
            for ns in starts_ns
        ]  # fmt: skip
        bring_in(self.store, self.directory, facts)

    def tick(self, moment: str | int) -> None:
        """Fold as of a moment."""
        now_ns = at(moment) if isinstance(moment, str) else moment
        fold(self.store, acquire(self.store, -1), (), FoldRules(expected=self.config.expected), now_ns=now_ns)

    def report(self, moment: str | int) -> Report:
        """The report as of a moment; folds nothing."""
        as_of_ns = at(moment) if isinstance(moment, str) else moment
        return cycle.make_report(self.store, self.config, as_of_ns, folded=True)

    def job(self, name: str, moment: str | int) -> dict[str, Any]:
        """A job of the JSON report as of a moment, folded then."""
        self.tick(moment)
        return next(job for job in as_json(self.report(moment))["jobs"] if job["batch_job"] == name)

    def counts(self, name: str) -> dict[str, int]:
        """The counters of a job."""
        return dict(self.report("2026-12-31T00:00Z").job_counts[name])
