"""Families survive the way: rendered, parsed by others, taken by a real gateway, and linted."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from reporter import Recorder, cycle
from reporter.errors import ExpositionError
from reporter.exposition import CONTENT_TYPE, render, validate
from reporter.family import Buckets, Family, Labels, Metric, Sample, decimal
from reporter.metrics import LLM_REQUEST_COST, LLM_REQUEST_DURATION
from reporter.publish.exchange import Access, exchange
from reporter.publish.pushgateway import Group
from reporter.store import open_store
from tests.publish.pushing import bring_in, calls, configured
from tests.servers import Server, binary, fetch

VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30) | st.sampled_from(
    [
        '"',
        "\\",
        "\\n",
        "\n",
        "\r",
        "\r\n",
        "{}",
        "a=b,c",
        "\x00",
        "\x7f",
        "\x85",
        "\u2028",
        "‮",
        "# EOF",
        "é",
        "🙂",
        " ",
        "+Inf",
    ]
)
LABELS = st.lists(VALUES, min_size=2, max_size=2).map(
    lambda pair: tuple(zip(("model", "operation"), pair, strict=True))
)
COSTS = st.dictionaries(LABELS, st.integers(0, 2**63 - 1), min_size=1, max_size=8)


def costs(values: dict[Labels, int]) -> Family:
    return Family(LLM_REQUEST_COST, tuple(Sample(labels, value) for labels, value in values.items()))


@given(COSTS)
def test_any_label_value_survives_the_way_to_a_parser(values: dict[Labels, int]) -> None:
    family = costs(values)
    validate([family])
    expected = {labels: float(decimal(value, 10**9)) for labels, value in values.items()}
    classic = list(parse_classic(render([family]).decode()))
    openmetrics = list(parse_openmetrics(render([family], openmetrics=True).decode()))
    for (parsed,) in (classic, openmetrics):
        assert {tuple(sorted(sample.labels.items())): sample.value for sample in parsed.samples} == expected


@given(st.lists(st.integers(0, 2**40), min_size=16, max_size=16), st.integers(0, 2**62), VALUES)
def test_a_histogram_survives_the_way_to_a_parser(counts: list[int], total: int, value: str) -> None:
    cumulative = tuple(sorted(counts))
    labels = (("model", value), ("status", "success"))
    (parsed,) = parse_classic(render([Family(LLM_REQUEST_DURATION, (Buckets(labels, cumulative, total),))]).decode())
    bounds = [bound / 10**9 for bound in LLM_REQUEST_DURATION.bounds] + [float("inf")]
    found = {float(sample.labels["le"]): sample.value for sample in parsed.samples if sample.name.endswith("_bucket")}
    assert found == dict(zip(bounds, map(float, cumulative), strict=True))
    (whole,) = (sample.value for sample in parsed.samples if sample.name.endswith("_sum"))
    assert whole == float(decimal(total, 10**9))


@settings(max_examples=15, deadline=None)
@given(values=COSTS)
def test_a_real_gateway_takes_any_label_value_and_gives_it_back(gateway: Server, values: dict[Labels, int]) -> None:
    group = Group.of(gateway.url, {"job": next(iter(values))[0][1]})
    until = time.monotonic() + 5
    content = render([costs(values)])
    answer = exchange(Access(), "PUT", group.address, until, content=content, headers={"Content-Type": CONTENT_TYPE})
    assert answer.good, answer.text
    shown = [
        family for family in parse_classic(fetch(gateway.url + "/metrics")) if family.name == "llm_request_cost_usd"
    ]
    found = {
        tuple((name, sample.labels[name]) for name in ("model", "operation")): sample.value
        for sample in shown[0].samples
        if sample.labels["job"] == group.grouping[0][1]
    }
    assert found == {labels: float(decimal(value, 10**9)) for labels, value in values.items()}
    assert exchange(Access(), "DELETE", group.address, until).good


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Server:
    from tests.servers import start_pushgateway

    server = start_pushgateway(tmp_path_factory.mktemp("gateway"))
    yield server
    server.kill()


CONTRACTED = {  # what promtool says of names that users rely on; a line that is not here is a mistake
    *(
        f'{name} non-summary metrics should not have "quantile" label'
        for name in (
            "llm_window_duration_seconds",
            "llm_window_ttft_seconds",
            "llm_window_tokens_per_second",
            "api_window_duration_seconds",
        )
    ),
    "reporter_counter_regressions_held_total metric name should not include type 'counter'",
}


def test_everything_a_push_sends_passes_the_lint_of_prometheus(tmp_path: Path, database_url: str) -> None:
    recorder = Recorder(database_url)
    with recorder.job("nightly"), recorder.call("GET /v1/users/{id}"):
        pass
    recorder.close()
    store = open_store(database_url)
    bring_in(store, tmp_path, [*calls(3, ttft_ns=10**8, stream=1), *calls(2, status="error", error_type="429")])
    pushed = cycle.push(store, configured(tmp_path, database_url, "http://127.0.0.1:9"), time.time_ns(), dry_run=True)
    names = {family.name for family in parse_classic(pushed.body.decode())}
    assert {"llm_request_duration_seconds", "llm_time_to_first_token_seconds", "api_request_duration_seconds"} <= names
    promtool = [binary("promtool", "prometheus"), "check", "metrics"]
    checked = subprocess.run(promtool, input=pushed.body, capture_output=True, check=False)
    assert checked.stdout == b""
    assert set(checked.stderr.decode().splitlines()) == CONTRACTED


COUNTER = Metric(name="a_total", type="counter", help="A.")
HISTOGRAM = Metric(name="h", type="histogram", help="H.", bounds=(1, 2))


@pytest.mark.parametrize(
    ("family", "grouping", "words"),
    [
        (Family(COUNTER, (Sample((("x", "\ud800"),), 1),)), (), "UTF-8"),
        (Family(COUNTER, (Sample((("le", "1"),), 1),)), (), "le belongs"),
        (Family(COUNTER, (Sample((("job", "x"),), 1),)), ("job",), "overwritten"),
        (Family(COUNTER, (Sample((), -1),)), (), "a counter of -1"),
        (Family(COUNTER, (Sample((), 1.5),)), (), "a counter of 1.5"),
        (Family(COUNTER, (Sample((), 1), Sample((), 1))), (), "twice"),
        (Family(COUNTER, (Sample((("a", "1"), ("b", "2")), 1), Sample((("b", "2"), ("a", "1")), 1))), (), "twice"),
        (Family(COUNTER, (Sample((("a", "1"), ("a", "2")), 1),)), (), "twice"),
        (Family(COUNTER, (Sample((("a-b", "1"),), 1),)), (), "no label name"),
        (Family(Metric(name="g", type="gauge", help=""), (Sample((), float("nan")),)), (), "nan"),
        (Family(Metric(name="g", type="gauge", help="\udfff"), ()), (), "HELP"),
        (Family(Metric(name="a", type="counter", help=""), ()), (), "_total"),
        (Family(HISTOGRAM, (Buckets((), (3, 2, 5), 1),)), (), "not cumulative"),
        (Family(HISTOGRAM, (Buckets((), (1, 2), 1),)), (), "for 2 bounds"),
        (Family(HISTOGRAM, (Buckets((), (1, 2, 3), -1),)), (), "sum"),
        (Family(HISTOGRAM, (Buckets((("le", "1"),), (1, 2, 3), 1),)), (), "le belongs"),
        (Family(Metric(name="h", type="histogram", help="", bounds=(2, 1)), ()), (), "bounds"),
    ],
)  # fmt: skip
def test_what_would_break_a_gateway_or_a_scrape_is_refused_before_it_leaves(
    family: Family, grouping: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ExpositionError, match=words):
        validate([family], grouping)


def test_two_families_may_not_share_a_series_name() -> None:
    with pytest.raises(ExpositionError, match="already taken"):
        validate([Family(HISTOGRAM, ()), Family(Metric(name="h_count", type="gauge", help=""), ())])
