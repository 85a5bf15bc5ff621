"""What 10,000 series cost as text: ours against prometheus_client's `generate_latest`, in the same run; bar 0.25×.

Medians of CPU time.  Both write the same series: histograms by status and counters, values and labels alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from reporter.exposition import render, validate
from reporter.family import Buckets, Family, Sample
from reporter.metrics import LLM_REQUEST_COST, LLM_REQUEST_DURATION

RUNS = 15
HISTOGRAMS, COUNTERS = 500, 1_000  # of 18 series and of 1
NAMES = ("batch_job", "operation", "provider", "model")


def labels(number: int) -> tuple[str, ...]:
    return f"nightly-{number}", "chat", "openai", f"gpt-4o-{number % 7}"


def theirs() -> CollectorRegistry:
    disable_created_metrics()
    registry = CollectorRegistry()
    bounds = [bound / 10**9 for bound in LLM_REQUEST_DURATION.bounds]
    durations = Histogram(
        "llm_request_duration_seconds", LLM_REQUEST_DURATION.help, (*NAMES, "status"), registry=registry, buckets=bounds
    )
    cost = Counter("llm_request_cost_usd", LLM_REQUEST_COST.help, NAMES, registry=registry)
    for number in range(HISTOGRAMS):
        child = durations.labels(*labels(number), "success")
        for seconds in (0.02, 0.3, 2, 45):
            child.observe(seconds)
    for number in range(COUNTERS):
        cost.labels(*labels(number)).inc(number * 0.0035)
    return registry


def ours() -> list[Family]:
    cumulative = [
        sum(seconds * 10**9 <= bound for seconds in (0.02, 0.3, 2, 45)) for bound in LLM_REQUEST_DURATION.bounds
    ]
    return [
        Family(
            LLM_REQUEST_DURATION,
            tuple(
                Buckets((*zip(NAMES, labels(n), strict=True), ("status", "success")), (*cumulative, 4), 47_320_000_000)
                for n in range(HISTOGRAMS)
            ),
        ),
        Family(
            LLM_REQUEST_COST,
            tuple(Sample(tuple(zip(NAMES, labels(n), strict=True)), n * 3_500_000) for n in range(COUNTERS)),
        ),
    ]


def series(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted((k, str(float(v)) if k == "le" else v) for k, v in sample.labels.items()))): round(
            sample.value, 9
        )
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def milliseconds(function: Callable[[], object]) -> float:
    """CPU of one call."""
    began = time.process_time()
    function()
    return (time.process_time() - began) * 1e3


def main() -> None:
    registry, families = theirs(), ours()
    both = series(generate_latest(registry)), series(render(families))
    assert both[0] == both[1], "not the same series"
    programs: dict[str, Callable[[], object]] = {
        "generate_latest": lambda: generate_latest(registry),
        "render": lambda: render(families),
        "validate + render": lambda: (validate(families), render(families)),
    }
    took: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(RUNS):
        for name, program in programs.items():  # in turn, so that a busy machine slows all alike
            took[name].append(milliseconds(program))
    floor = statistics.median(took["generate_latest"])
    for name, times in took.items():
        print(
            f"{name:<18} {statistics.median(times):6.1f} ms  {statistics.median(times) / floor:5.2f} × generate_latest"
        )
    print(f"{len(both[1])} series; bar for render: 0.25 ×")


if __name__ == "__main__":
    main()
