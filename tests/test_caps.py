"""Too many label values: the busiest keep their names, the rest are `other`, sums stay exact, and nothing ever moves."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from reporter import cycle
from reporter.report.caps import admit
from reporter.store import open_store
from tests.publish.pushing import bring_in, calls, configured, counters, value_of
from tests.servers import Server

REPORT = "report: {{windows: [5m, 1h], labels: [batch_job, model], max_values_per_label: {most}}}\n"


def by_model(url: str, name: str) -> dict[str, float]:
    """Sums over the other labels."""
    sums: dict[str, float] = {}
    for (found, labels), value in counters(url).items():
        if found == name:
            model = dict(labels).get("model", "")
            sums[model] = sums.get(model, 0) + value
    return sums


def test_fifty_thousand_label_values_become_the_busiest_and_other_with_exact_sums(
    tmp_path: Path, pushgateway: Server
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.db"
    store = open_store(url)
    busy = [call for n in range(20) for call in calls(n + 2, model=f"busy-{n:02}")]
    rare = [{**call, "model": f"rare-{n}"} for n, call in enumerate(calls(50_000, cost_nanousd=1_234_567))]
    bring_in(store, tmp_path, [*rare, *busy])
    config = configured(tmp_path, url, pushgateway.url, more=REPORT.format(most=20))
    for _ in range(2):
        pushed = cycle.push(store, config, time.time_ns())
    models = {f"busy-{n:02}" for n in range(20)} | {"other"}
    assert set(re.findall(r'\bmodel="([^"]*)"', pushed.body.decode())) == models
    assert pushed.series < 60 * len(models)  # of each a histogram, counters, and gauges by windows
    found = by_model(pushgateway.url, "llm_request_duration_seconds_count")
    assert found == {**{f"busy-{n:02}": n + 2 for n in range(20)}, "other": 50_000}
    assert by_model(pushgateway.url, "llm_request_cost_usd_total")["other"] == 50_000 * 1_234_567 / 1e9
    assert by_model(pushgateway.url, "llm_request_duration_seconds_sum")["other"] == 50_000 * 0.3
    assert value_of(pushgateway.url, "reporter_series_capped") == 50_000


def test_a_counter_never_moves_between_other_and_a_name_of_its_own(
    tmp_path: Path, database_url: str, pushgateway: Server
) -> None:
    dice = random.Random(7)
    store = open_store(database_url)
    expected: dict[str, int] = {}
    seen: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for most in (3, 3, 5, 2, 3):  # a cap that is changed moves nothing either
        fresh = [call for _ in range(4) for call in calls(dice.randrange(1, 9), model=f"m{dice.randrange(12)}")]
        bring_in(store, tmp_path, fresh)
        for call in fresh:
            expected[call["model"]] = expected.get(call["model"], 0) + 1
        config = configured(tmp_path, database_url, pushgateway.url, more=REPORT.format(most=most))
        for _ in range(2):
            pushed = cycle.push(store, config, time.time_ns())
            assert pushed.held == 0
            now = counters(pushgateway.url)
            assert all(now[key] >= value for key, value in seen.items())
            seen = now
        shown = by_model(pushgateway.url, "llm_request_duration_seconds_count")
        others = shown.pop("other", 0)
        assert all(expected[model] == count for model, count in shown.items())
        assert sum(shown.values()) + others == sum(expected.values())


@given(
    st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9)), max_size=6),
    st.lists(st.integers(1, 5), min_size=6),
)
def test_a_decision_once_made_stands_and_the_cap_holds_for_new_names(
    ticks: list[dict[str, int]], caps: list[int]
) -> None:
    known: dict[str, bool] = {}
    calls_by_value: dict[str, int] = {"": 5}
    for tick, most in zip(ticks, caps, strict=False):
        for value, more in tick.items():
            calls_by_value[value] = calls_by_value.get(value, 0) + more
        decided = admit(known, calls_by_value, most)
        assert {value: decided[value] for value in known} == known
        assert set(decided) == set(calls_by_value) - {""}
        named_before = sum(known.values())
        assert sum(decided.values()) <= max(most, named_before)
        known = decided
