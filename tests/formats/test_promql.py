"""PromQL over our own metrics means an SLI and a choice of calls; anything else is told apart, and why."""

from __future__ import annotations

from typing import Any

import pytest

from reporter.formats.promql import Unrecognised, recognise
from reporter.slo.spec import SLO

COUNT = "llm_request_duration_seconds_count"
BUCKET = "llm_request_duration_seconds_bucket"
LE_INF = 'le="+Inf",status="success"'
LE, SUCCESS = '"2.5"', '"success"'


def rate(selector: str, window: str = "{{.window}}") -> str:
    return f"sum(rate({selector}[{window}]))"


@pytest.mark.parametrize(
    ("total", "good", "bad", "meant"),
    [
        (rate(COUNT), None, rate(f'{COUNT}{{status!="success"}}'), {"sli": "availability", "where": {"model": "?*"}}),
        (rate(COUNT), rate(f'{COUNT}{{status="success"}}'), None, {"sli": "availability", "where": {"model": "?*"}}),
        (
            rate(f'{COUNT}{{model="gpt-4o",batch_job=~"nightly-.*|hourly"}}', "5m"),
            None,
            rate(f'{COUNT}{{model="gpt-4o",batch_job=~"nightly-.*|hourly",status!="success"}}', "5m"),
            {"sli": "availability", "where": {"model": "gpt-4o", "batch_job": ["nightly-*", "hourly"]}},
        ),
        (
            rate(COUNT),
            None,
            f"{rate(COUNT)} - {rate(BUCKET + '{le=' + LE + ',status=' + SUCCESS + '}')}",
            {"sli": {"latency": {"threshold": "2.5s"}}, "where": {"model": "?*"}},
        ),
        (
            "(sum(increase(api_request_duration_seconds_count[{{ .window }}])))",
            "sum(increase(api_request_duration_seconds_bucket{le='8',status='success'}[{{ .window }}]))",
            None,
            {"sli": {"latency": {"threshold": "8s"}}, "where": {"model": ""}},
        ),
        (
            rate('batch_job_runs_total{batch_job="nightly",job="reporter"}'),
            None,
            rate('batch_job_runs_total{batch_job="nightly",job="reporter",status!="success"}'),
            {"sli": "job_success", "where": {"batch_job": "nightly"}},
        ),
        (
            rate('slo_events_total{slo="chat"}'),
            None,
            rate('slo_events_total{slo="chat",result="bad"}'),
            {"sli": "availability", "where": {"operation": "chat"}, "exclude_error_types": ["400"]},
        ),
        (rate(f'{COUNT}{{model=~".*|"}}'), rate(f'{COUNT}{{model=~".*|",status="success"}}'), None,
         {"sli": "availability", "where": {"model": "?*"}}),
        (rate(COUNT), rate(f'{BUCKET}{{le="1e1",status="success"}}'), None,
         {"sli": {"latency": {"threshold": "10s"}}, "where": {"model": "?*"}}),
        (rate(f'{COUNT}{{model="a*b"}}'), rate(f'{COUNT}{{model="a*b",status="success"}}'), None,
         {"sli": "availability", "where": {"model": "a[*]b"}}),
    ],
)  # fmt: skip
def test_what_a_pair_of_queries_means(total: str, good: str | None, bad: str | None, meant: dict[str, Any]) -> None:
    chat = {"name": "chat", "sli": "availability", "objective": 99, "where": {"operation": "chat"}}
    known = {"chat": SLO.model_validate({**chat, "exclude_error_types": [400]})}
    told = recognise(total, good=good, bad=bad, known=known)
    assert told == meant
    SLO.model_validate({"name": "a", "objective": 99, **told})


@pytest.mark.parametrize(
    ("total", "bad", "why"),
    [
        ("up", "up", "is no plain sum"),
        ("sum by (job) (rate(x[5m]))", rate("x"), "is no plain sum"),
        ("sum(rate(", rate("x"), "is no PromQL"),
        (
            rate("http_requests_total"),
            rate('http_requests_total{code=~"5.."}'),
            "not over metrics that reporter pushes",
        ),
        (rate(COUNT), rate(f'{COUNT}{{status="error_429"}}'), 'needs status="success"'),
        (rate(COUNT), rate(f'{COUNT}{{status!="success",model="m"}}'), "selects other calls than its total"),
        (rate(COUNT), rate(f'{BUCKET}{{le="+Inf"}}'), 'needs le="…"'),
        (rate(f'{COUNT}{{model=~"a.c"}}'), rate(f'{COUNT}{{model=~"a.c",status!="success"}}'), "patterns can't say"),
        (
            rate(f'{COUNT}{{region="eu"}}'),
            rate(f'{COUNT}{{region="eu",status!="success"}}'),
            "by which SLOs can't choose",
        ),
        (
            rate('slo_events_total{slo="x"}'),
            rate('slo_events_total{slo="x",result="bad"}'),
            "reporter.yaml does not have",
        ),
        ("sum(rate(x[5m] offset 1h))", rate("x"), "has an offset"),
        (f"sum(increase({COUNT}[5m]))", f'sum(rate({COUNT}{{status!="success"}}[5m]))', "is of rate over"),
        (f"sum(rate({COUNT}[5m]))", f'sum(rate({COUNT}{{status!="success"}}[1h]))', "is of rate over"),
        (
            rate('api_request_duration_seconds_count{model="m"}'),
            rate('api_request_duration_seconds_count{model="m",status!="success"}'),
            "that name none",
        ),
        (rate(COUNT), f"{rate(COUNT)} - {rate(BUCKET + chr(123) + LE_INF + chr(125))}", 'has le="\\+Inf"'),
    ],
)
def test_what_is_not_ours_is_not_recognised(total: str, bad: str, why: str) -> None:
    with pytest.raises(Unrecognised, match=why.replace("(", r"\(").replace("…", ".")):
        recognise(total, bad=bad)
