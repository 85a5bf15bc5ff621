"""A second implementation of the report: brute force over raw calls and runs, written from DESIGN §5 and §6 alone.

It shares nothing with the program but the price catalogue, whose library it asks for every distinct call.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from functools import cache
from typing import Any, Generic, TypeVar

from genai_prices import Usage, calc_price

NS = 10**9
SECONDS = {"5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21_600, "1d": 86_400, "3d": 259_200, "7d": 604_800}
BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 8, 10, 20, 30, 60, 120, 300, 600)
SPEED_BOUNDS = (5, 10, 25, 30, 50, 100, 150, 200, 300, 500, 1000)
LABELS = ("batch_job", "operation", "provider", "model")
Call = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Judge:
    """An SLO said as code: what the YAML beside it means."""

    name: str
    yaml: str
    objective: Decimal  # percent
    period: str
    verdict: Callable[[Call], bool | None]  # None: not about this call
    min_bad_events: int = 0
    pairs: tuple[tuple[str, str, str, Fraction], ...] = field(default=())  # severity, long, short, factor


def _chat_is_quick(call: Call) -> bool | None:
    if call["operation"] != "chat":
        return None
    return call["status"] == "success" and call["duration_ns"] is not None and call["duration_ns"] <= 2_500_000_000


def _gpt_is_up(call: Call) -> bool | None:
    if not (call["model"] or "").startswith("gpt-") or call["error_type"] in ("400", "422"):
        return None
    return bool(call["status"] == "success")


def _everything_is_up(call: Call) -> bool | None:
    return bool(call["status"] == "success")


_WEEK_PAIRS = (
    ("page", "1h", "5m", Fraction("0.02") * 7 * 24),
    ("page", "6h", "30m", Fraction("0.05") * 7 * 4),
    ("ticket", "1d", "2h", Fraction("0.1") * 7),
)  # of 3d the factor is below that of the pair before it, which is below 1 already
JUDGES = (
    Judge(
        name="quick", objective=Decimal(95), period="7d", verdict=_chat_is_quick, pairs=_WEEK_PAIRS,
        yaml="{name: quick, sli: p95 < 2.5s, period: 7d, where: {operation: chat}}",
    ),
    Judge(
        name="up", objective=Decimal("99.9"), period="7d", verdict=_gpt_is_up, pairs=_WEEK_PAIRS,
        yaml='{name: up, sli: availability, objective: 99.9, period: 7d, exclude_error_types: ["400", "422"],'
        ' where: {model: "gpt-*"}}',
    ),
    Judge(
        name="guarded", objective=Decimal(90), period="1d", verdict=_everything_is_up, min_bad_events=3,
        pairs=(("page", "2h", "5m", Fraction(2)), ("ticket", "1d", "1h", Fraction(1))),
        yaml="{name: guarded, sli: availability, objective: 90, period: 1d, min_bad_events: 3, alerts:"
        " [{severity: page, long: 2h, short: 5m, factor: 2}, {severity: ticket, long: 1d, short: 1h, factor: 1}]}",
    ),
)  # fmt: skip
CONFIG = f"report: {{windows: [{', '.join(SECONDS)}]}}\nslos:\n" + "".join(f"- {judge.yaml}\n" for judge in JUDGES)


def check(told: dict[str, Any], calls: Sequence[Call], runs: Sequence[dict[str, Any]], as_of_ns: int) -> None:
    """Compare a JSON report with what the raw facts say; `as_of_ns` is a whole minute."""
    assert datetime.fromisoformat(told["as_of"]) == datetime.fromtimestamp(as_of_ns // NS, UTC)
    check_slos(told["slos"], calls, as_of_ns)
    check_calls(told["calls"], calls, as_of_ns)
    check_jobs(told["jobs"], runs, as_of_ns)


class Windows(Generic[T]):
    """Rows in the order of their end; `last(seconds)` are those in [T − seconds, T)."""

    def __init__(self, rows: Iterable[T], as_of_ns: int, ended_at_ns: Callable[[T], int]) -> None:
        self._rows = sorted(rows, key=ended_at_ns)
        self._ends = [ended_at_ns(row) for row in self._rows]
        self._as_of_ns = as_of_ns

    def last(self, seconds: int) -> list[T]:
        first = bisect_left(self._ends, self._as_of_ns - seconds * NS)
        return self._rows[first : bisect_left(self._ends, self._as_of_ns)]


# ── SLOs ──


def check_slos(told: list[dict[str, Any]], calls: Sequence[Call], as_of_ns: int) -> None:
    """Counts and ratios are exact; a ratio is the float nearest to the fraction."""
    assert [slo["slo"] for slo in told] == [judge.name for judge in JUDGES]
    for slo, judge in zip(told, JUDGES, strict=True):
        budget = 1 - Fraction(judge.objective) / 100
        verdicts = [(call["ended_at_ns"], judge.verdict(call)) for call in calls]
        within = Windows(verdicts, as_of_ns, lambda judged: judged[0])
        burns: dict[str, Fraction | None] = {}
        bad_in: dict[str, int] = {}
        for label, seconds in SECONDS.items():
            inside = [good for _, good in within.last(seconds)]
            good, bad = inside.count(True), inside.count(False)
            burn = Fraction(bad, good + bad) / budget if good + bad else None
            burns[label], bad_in[label] = burn, bad
            assert slo["windows"][label] == {
                "good": good,
                "bad": bad,
                "total": good + bad,
                "sli_ratio": good / (good + bad) if good + bad else None,
                "burn_rate": None if burn is None else float(burn),
            }, (judge.name, label)
        assert slo["objective_ratio"] == float(judge.objective / 100)
        spent = burns[judge.period]
        assert slo["error_budget"] == {
            "consumed_ratio": None if spent is None else float(spent),
            "remaining_ratio": None if spent is None else float(1 - spent),
        }
        expected = [
            {
                "severity": severity,
                "long": long,
                "short": short,
                "factor": float(factor),
                "firing": _above(burns[long], factor)
                and _above(burns[short], factor)
                and bad_in[long] >= judge.min_bad_events,
            }
            for severity, long, short, factor in judge.pairs
        ]
        assert slo["alerts"] == expected, judge.name
        if spent is None:
            state = "no_data"
        elif spent >= 1:
            state = "exhausted"
        else:
            state = "burning" if any(alert["firing"] for alert in expected) else "ok"
        assert slo["state"] == state


def _above(burn: Fraction | None, factor: Fraction) -> bool:
    return burn is not None and burn > factor


# ── calls ──


def check_calls(told: list[dict[str, Any]], calls: Sequence[Call], as_of_ns: int) -> None:
    """Sums are exact, money to the nano-dollar; percentiles, by nearest rank, within 1 %."""
    groups: dict[tuple[str | None, ...], list[Call]] = defaultdict(list)
    for call in calls:
        groups[tuple(call[label] or None for label in LABELS)].append(call)
    shown = {tuple(row[label] for label in LABELS): row["windows"] for row in told}
    assert len(shown) == len(told)
    for key, mine in groups.items():
        measured = [(call, cost_nanousd(call), speed(call)) for call in mine]
        within = Windows(measured, as_of_ns, lambda row: row[0]["ended_at_ns"])
        for label, seconds in SECONDS.items():
            inside = within.last(seconds)
            if key not in shown:
                assert not inside, (key, label)
                continue
            _check_window(shown[key][label], inside)
    assert shown.keys() <= groups.keys()


def _check_window(window: dict[str, Any], rows: Sequence[tuple[Call, int | None, Fraction | None]]) -> None:
    calls, costs = [call for call, _, _ in rows], [cost for _, cost, _ in rows]
    assert window["calls"] == len(calls)
    assert window["errors"] == sum(call["status"] != "success" for call in calls)
    assert window["input_tokens"] == sum(call["input_tokens"] or 0 for call in calls)
    assert window["output_tokens"] == sum(call["output_tokens"] or 0 for call in calls)
    unpriced = sum(cost is None and bool(call["model"]) for call, cost in zip(calls, costs, strict=True))
    assert window["unpriced_calls"] == unpriced
    if calls and unpriced == len(calls):
        assert window["cost_usd"] is None  # unknown, which is not 0
    else:
        assert round(window["cost_usd"] * NS) == sum(cost or 0 for cost in costs)
    close_percentiles(window["duration_seconds"], [call["duration_ns"] for call in calls], NS)
    close_percentiles(window["ttft_seconds"], [call["ttft_ns"] for call in calls], NS)
    close_percentiles(window["tokens_per_second"], [rate and float(rate) for _, _, rate in rows], 1)


def close_percentiles(told: dict[str, float | None], values: Iterable[float | None], scale: int) -> None:
    known = sorted(value for value in values if value is not None)
    for rank in (50, 95, 99):
        estimated = told[f"p{rank}"]
        if not known:
            assert estimated is None
            continue
        exact = known[math.ceil(Fraction(rank * len(known), 100)) - 1] / scale
        assert estimated is not None
        assert math.isclose(estimated, exact, rel_tol=0.01, abs_tol=2e-9 if scale == NS else 2e-6), (
            rank,
            exact,
            estimated,
        )


def speed(call: Call) -> Fraction | None:
    """Output tokens per second: after the first token of a stream, over the whole call otherwise; at most 100,000."""
    output, duration_ns, ttft_ns = call["output_tokens"], call["duration_ns"], call["ttft_ns"]
    if not output or not duration_ns:
        return None
    if ttft_ns is not None and ttft_ns < duration_ns and output > 1:
        return min(Fraction((output - 1) * NS, duration_ns - ttft_ns), Fraction(10**5))
    return min(Fraction(output * NS, duration_ns), Fraction(10**5))


def cost_nanousd(call: Call) -> int | None:
    """What the call said it cost, or what the catalogue's library says at its moment; None where neither knows."""
    if call["cost_nanousd"] is not None:
        return int(call["cost_nanousd"])
    if not call["model"]:
        return None
    if "models" in (call.get("flags") or ""):
        return None  # its tokens are of several models
    if call["input_tokens"] is None and call["output_tokens"] is None:
        refused = call["status"] == "error" and (call.get("http_status") or 0) >= 400  # 500 and the like in these tests
        return 0 if refused else None
    return _priced(
        call["provider"], call["model"], call["ended_at_ns"] // (86_400 * NS),
        call["input_tokens"], call["cache_read_tokens"], call["output_tokens"], call.get("price_class"),
    )  # fmt: skip


CONTEXTS: dict[str | None, dict[str, str] | None] = {None: None, "standard": None, "batch": {"processing": "batch"}}
"""What the library must be told of a price class; of others it knows nothing that the models of these tests have."""
BATCH_KNOWN_FROM = datetime(2026, 10, 14, tzinfo=UTC)
"""From then on it has prices of that class; those of the models here were half of the same standard prices before, too."""


@cache
def _priced(
    provider: str | None,
    model: str,
    day: int,
    input_: int | None,
    cached: int | None,
    output: int | None,
    price_class: str | None,
) -> int | None:
    usage = Usage(input_tokens=input_, cache_read_tokens=cached, output_tokens=output)
    if (cached or 0) > (input_ or 0):
        return None  # a usage that contradicts itself
    at = datetime.fromtimestamp(day * 86_400, UTC)
    if price_class not in CONTEXTS:
        return None
    if price_class == "batch":
        at = max(at, BATCH_KNOWN_FROM)
    try:
        price = calc_price(
            usage, model, provider_id=provider, genai_request_timestamp=at, price_context=CONTEXTS[price_class]
        )
    except LookupError:
        return None
    return int((price.total_price * NS).to_integral_value(ROUND_HALF_EVEN))


# ── jobs ──


def check_jobs(told: list[dict[str, Any]], runs: Sequence[dict[str, Any]], as_of_ns: int) -> None:
    """Every job that started before; runs that ended later were still running then."""
    names = sorted({run["batch_job"] for run in runs if run["started_at_ns"] < as_of_ns})
    assert [job["batch_job"] for job in told] == names
    for job in told:
        mine = sorted(
            (run for run in runs if run["batch_job"] == job["batch_job"] and run["started_at_ns"] < as_of_ns),
            key=lambda run: run["started_at_ns"],
        )
        ended = [run for run in mine if run["ended_at_ns"] is not None and run["ended_at_ns"] < as_of_ns]
        succeeded = [run["ended_at_ns"] for run in ended if run["status"] == "success"]
        last = mine[-1]["status"] if mine[-1] in ended else "running"
        states = {"success": "ok", "timeout": "overrun"}
        assert job["state"] == states.get(last, last)
        assert _at(job["last_start_at"]) == mine[-1]["started_at_ns"] // 10**6
        assert _at(job["last_success_at"]) == (max(succeeded) // 10**6 if succeeded else None)
        assert job["failed_runs"] == sum(run["status"] == "failed" for run in ended)
        assert job["lost_runs"] == sum(run["status"] == "lost" for run in ended)
        assert job["overruns"] == sum(run["status"] == "timeout" for run in ended)
        assert job["late_runs"] is job["overlaps"] is job["missed_runs"] is None  # nothing is expected


def _at(text: str | None) -> int | None:
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)


# ── counters and histograms, as they are exposed ──


def exposed(calls: Sequence[Call]) -> dict[tuple[str, tuple[tuple[str, str], ...]], Fraction]:
    """Every counter and histogram series of calls since the beginning: (name, labels) → value."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], Fraction] = defaultdict(Fraction)

    def add(name: str, labels: dict[str, str], value: Fraction | int) -> None:
        found[name, tuple(sorted(labels.items()))] += value

    def observe(name: str, labels: dict[str, str], value: Fraction, bounds: Sequence[float]) -> None:
        for bound in (*bounds, math.inf):
            add(
                f"{name}_bucket",
                {**labels, "le": "+Inf" if bound == math.inf else str(float(bound))},
                int(value <= bound),
            )
        add(f"{name}_count", labels, 1)
        add(f"{name}_sum", labels, value)

    for call in calls:
        labels = {label: call[label] for label in LABELS if call[label]}
        prefix = "llm" if call["model"] else "api"
        if call["duration_ns"] is not None:
            status = call["status"]
            if status == "error":
                status = f"error_{call['http_status'] or call['error_type'] or 'unknown'}"
            observe(
                f"{prefix}_request_duration_seconds",
                {**labels, "status": status},
                Fraction(call["duration_ns"], NS),
                BOUNDS,
            )
        if not call["model"]:
            continue
        if call["ttft_ns"] is not None:
            observe("llm_time_to_first_token_seconds", labels, Fraction(call["ttft_ns"], NS), BOUNDS)
        rate = speed(call)
        if rate is not None:
            observe("llm_tokens_per_second", labels, Fraction(int(rate * 10**6), 10**6), SPEED_BOUNDS)
        for kind in ("input", "cache_read", "cache_write", "output", "reasoning"):
            add("llm_tokens_total", {**labels, "type": kind}, call.get(f"{kind}_tokens") or 0)
        cost = cost_nanousd(call)
        add("llm_request_cost_usd_total", labels, Fraction(cost or 0, NS))
        add("llm_unpriced_requests_total", labels, int(cost is None))
    return dict(found)
