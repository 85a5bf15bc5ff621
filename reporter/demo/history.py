"""Thirty days of a small company's batch jobs, as JSON Lines: believable, and the same for the same seed and moment.

Rhythms differ by job, models by speed and price, one job's prompts grow day by day, a night five days ago went wrong at one
provider, and one model runs in-house, where nobody knows its price.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reporter.ids import uuid7_of

DAYS = 30
OUTAGE_DAYS_AGO = 5
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """One batch job: when it runs, what it calls, how that behaves."""

    job: str
    provider: str
    model: str
    hours: tuple[int, ...]  # of the day, UTC
    calls: int  # a run
    operation: str = "chat"
    input_tokens: int
    output_tokens: int
    cached_ratio: float = 0.0
    median_seconds: float
    spread: float = 0.5  # of the logarithm
    failing_ratio: float = 0.003
    growth_ratio: float = 0.0  # of the prompts, a day
    weekdays_only: bool = False
    streams: bool = False
    outage_minute: int | None = None  # of the run on the day of the outage


RHYTHMS = (
    Rhythm(
        job="nightly-summaries", provider="anthropic", model="claude-sonnet-4-5", hours=(3,), calls=260, input_tokens=2_400,
        output_tokens=420, cached_ratio=0.4, median_seconds=2.1, spread=0.45, growth_ratio=0.03, outage_minute=4,
    ),
    Rhythm(
        job="hourly-triage", provider="openai", model="gpt-4o-mini", hours=tuple(range(24)), calls=22, input_tokens=900,
        output_tokens=60, cached_ratio=0.5, median_seconds=0.55,
    ),
    Rhythm(
        job="support-drafts", provider="google", model="gemini-2.5-flash", hours=tuple(range(8, 19)), calls=14,
        input_tokens=1_600, output_tokens=350, median_seconds=1.4, weekdays_only=True, streams=True,
    ),
    Rhythm(
        job="embed-catalogue", provider="openai", model="text-embedding-3-small", hours=(4,), calls=240, operation="embed",
        input_tokens=800, output_tokens=0, median_seconds=0.18, failing_ratio=0.001,
    ),
    Rhythm(
        job="weekly-digest", provider="openai", model="gpt-4.1", hours=(6,), calls=50, input_tokens=5_200,
        output_tokens=900, median_seconds=6.5, spread=0.35, failing_ratio=0.006, weekdays_only=True,
    ),
    Rhythm(
        job="contract-check", provider="in-house", model="llama-legal-70b", hours=(2,), calls=16, input_tokens=3_000,
        output_tokens=200, median_seconds=4.0, failing_ratio=0.01,
    ),
)  # fmt: skip


def write_history(path: Path, now_ns: int, seed: int = 7) -> int:
    """Write the thirty days before `now_ns` to `path`; the number of lines."""
    lines = 0
    with path.open("w", encoding="utf-8") as file:
        for fact in history(now_ns, seed):
            file.write(json.dumps(fact, separators=(",", ":")) + "\n")
            lines += 1
    return lines


def history(now_ns: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Calls and runs of the thirty days before `now_ns`, run by run."""
    now = now_ns // 10**9
    midnight = now // _DAY * _DAY
    for days_ago in range(DAYS, -1, -1):
        for rhythm in RHYTHMS:
            day = midnight - days_ago * _DAY
            if rhythm.weekdays_only and datetime.fromtimestamp(day, UTC).weekday() >= 5:
                continue
            for hour in rhythm.hours:
                # Dice of its own for every run: a run looks the same however many came before it.
                dice = random.Random(f"{seed} {rhythm.job} {days_ago} {hour}")
                begins = day + hour * 3600 + dice.uniform(0, 240)
                if now - DAYS * _DAY < begins < now - 900:  # the last run is over, whatever it met
                    yield from _run(rhythm, dice, begins, days_ago)


def _run(rhythm: Rhythm, dice: random.Random, begins: float, days_ago: int) -> Iterator[dict[str, Any]]:
    run_id = uuid7_of(int(begins * 10**9), rhythm.job.encode())
    at, failed = begins, 0
    outage = rhythm.outage_minute is not None and days_ago == OUTAGE_DAYS_AGO
    pause = min(2.0, 600 / rhythm.calls) / 4
    for _ in range(rhythm.calls):
        down = outage and at - begins > 60 * (rhythm.outage_minute or 0) and dice.random() < 0.9
        call = _call(rhythm, dice, days_ago, down)
        failed += call["status"] != "success"
        at += call["duration_seconds"]
        yield {"kind": "call", "ended_at": round(at, 6), "batch_job": rhythm.job, "run_id": run_id, **call}
        at += dice.uniform(0, 2 * pause)
    broken = failed > rhythm.calls // 10
    yield {
        "kind": "run", "run_id": run_id, "batch_job": rhythm.job, "started_at": round(begins, 6),
        "ended_at": round(at, 6), "status": "failed" if broken else "success", "exit_code": int(broken),
        "error_type": "HTTPStatusError" if broken else None, "items": rhythm.calls - failed, "host": "batch-1",
    }  # fmt: skip


def _call(rhythm: Rhythm, dice: random.Random, days_ago: int, down: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"operation": rhythm.operation, "provider": rhythm.provider, "model": rhythm.model}
    seconds = dice.lognormvariate(math.log(rhythm.median_seconds), rhythm.spread)
    if down or dice.random() < rhythm.failing_ratio:
        error, status = dice.choice(_OVERLOADED if down else _FAILURES)
        return {
            **about, "status": "error" if status else "timeout", "error_type": error, "http_status": status,
            "duration_seconds": round(dice.uniform(0.05, 0.4) if status else 10.0, 6),
        }  # fmt: skip
    grown = (1 + rhythm.growth_ratio) ** (DAYS - days_ago)
    tokens = int(rhythm.input_tokens * grown * dice.uniform(0.7, 1.4))
    output = int(rhythm.output_tokens * grown * dice.uniform(0.5, 1.6))
    spoken = {"ttft_seconds": round(seconds * dice.uniform(0.15, 0.35), 6), "stream": 1} if rhythm.streams else {}
    return {
        **about, **spoken, "status": "success", "duration_seconds": round(seconds, 6), "input_tokens": tokens,
        "cache_read_tokens": int(tokens * rhythm.cached_ratio), "output_tokens": output, "usage_status": "complete",
    }  # fmt: skip


_OVERLOADED: tuple[tuple[str, int | None], ...] = (("529", 529), ("529", 529), ("529", 529), ("ReadTimeout", None))
_FAILURES: tuple[tuple[str, int | None], ...] = (("429", 429), ("429", 429), ("500", 500), ("ReadTimeout", None))
