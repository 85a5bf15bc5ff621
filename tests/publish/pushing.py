"""What tests of publishing share: a configuration file, facts, the real command line, and a gateway read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from reporter.config import parse_config
from reporter.config.model import Config
from reporter.ingest import ingest_file
from reporter.store import Store
from tests.servers import fetch

SLO = "{name: fast, sli: p95 < 2.5s, period: 1d}"


def written(
    directory: Path, database_url: str, gateway_url: str, *, gateway: str = "", slo: str = SLO, more: str = ""
) -> Path:
    """A reporter.yaml."""
    path = directory / "reporter.yaml"
    settings = f"url: '{gateway_url}', new_series_delay: 0s{', ' if gateway else ''}{gateway}"
    path.write_text(
        f"database: {json.dumps(database_url)}\npushgateway: {{{settings}}}\nslos: [{slo}]\n"
        + (more or "report: {windows: [5m, 1h], labels: [batch_job, operation, model]}\n")
    )
    return path


def configured(*arguments: Any, **settings: Any) -> Config:
    """The same as `Config`."""
    path = written(*arguments, **settings)
    return parse_config(path.read_text(), environ={})


def command(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "reporter", "--config", str(config), *arguments]


def run(config: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command line."""
    return subprocess.run(
        command(config, *arguments), capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


def calls(count: int, *, seconds_ago: float = 60, **columns: Any) -> list[dict[str, Any]]:
    """Calls with ids of their own, as JSON Lines have them."""
    ended_ns = time.time_ns() - int(seconds_ago * 1e9)
    facts = {
        "kind": "call", "operation": "chat", "provider": "openai", "model": "gpt-4o", "batch_job": "nightly",
        "duration_ns": 300_000_000, "status": "success", "input_tokens": 1000, "output_tokens": 77, **columns,
    }  # fmt: skip
    return [
        {**facts, "ended_at_ns": ended_ns + number, "call_id": f"{ended_ns + number:x}-{number}"}
        for number in range(count)
    ]


def bring_in(store: Store, directory: Path, facts: list[dict[str, Any]]) -> None:
    path = directory / f"{time.monotonic_ns()}.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    assert ingest_file(store, path).bad == 0


def exposed(url: str, job: str = "reporter") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of the group that a scrape of the gateway gives: (name, own labels) → value."""
    return {
        (
            sample.name,
            tuple(sorted((k, v) for k, v in sample.labels.items() if k not in ("job", "instance"))),
        ): sample.value
        for family in text_string_to_metric_families(fetch(url + "/metrics"))
        for sample in family.samples
        if sample.labels.get("job") == job
    }


def counters(url: str, job: str = "reporter") -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Of these the counters and the parts of histograms."""
    return {
        key: value
        for key, value in exposed(url, job).items()
        if key[0].endswith(("_total", "_bucket", "_count", "_sum"))
    }


def value_of(url: str, name: str, job: str = "reporter") -> float | None:
    return exposed(url, job).get((name, ()))
