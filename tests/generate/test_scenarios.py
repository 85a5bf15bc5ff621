"""Alerts through some minutes: of a reporter that dies, of two reporters at one Prometheus, of counters beside gauges."""

from __future__ import annotations

from pathlib import Path

from tests.generate.scenario import firing
from tests.generate.test_prometheus import generated

CALL = 'job="reporter",batch_job="nightly",operation="chat",provider="openai",model="gpt-4o"'
DIES = "0+60x20 1200x100"  # the latest report is of minute 20
AS_OF = 'reporter_as_of_timestamp_seconds{job="reporter"}'


def test_slow_calls_and_such_without_a_price_are_told_until_there_is_news_again(tmp_path: Path) -> None:
    rules = generated(tmp_path, "{}") / "reporter.rules.yml"
    few = {
        f'llm_request_duration_seconds_count{{{CALL},status="success"}}': "0+3x20 60x100",
        f'llm_request_duration_seconds_bucket{{{CALL},status="success",le="+Inf"}}': "0+3x20 60x100",
    }
    series = {
        AS_OF: f"{DIES} 7260+60x30",
        f'llm_window_duration_seconds{{{CALL},window="5m",quantile="0.99"}}': "20x120 1x30",
        f'llm_window_tokens_per_second{{{CALL},window="5m",quantile="0.5"}}': "3x120 90x30",
        f'llm_window_calls{{{CALL},window="5m"}}': "15x150",
        f'llm_window_unpriced_calls{{{CALL},window="1h"}}': "0 3+3x119 0x30",
        **few,
    }
    told = firing([rules], series, [4, 18, 21, 23, 26, 60, 119, 125], of='source="calls"')
    all_three = ['{alertname="LLMCallsUnpriced"}', '{alertname="LLMLatencyHigh"}', '{alertname="LLMThroughputLow"}']
    assert told.pop(4) == all_three[:1]
    assert told.pop(125) == []
    assert told == dict.fromkeys((18, 21, 23, 26, 60, 119), all_three)


GROUPED = """
pushgateway: {grouping: {job: reporter, team: %s}}
slos: [{name: up, sli: availability, objective: 99, period: 30d, labels: {team: mine, tier: gold}}]
"""


def test_two_reporters_at_one_prometheus_do_not_hold_each_others_alerts(tmp_path: Path) -> None:
    rules = []
    for team in ("a", "b"):
        (tmp_path / team).mkdir()
        rules.append(generated(tmp_path / team, GROUPED % team, "--from-counters") / "reporter.rules.yml")
    series = {}
    for team, reports, failed in (("a", "0+60x60", "1x9 0x60"), ("b", DIES.replace("20", "2", 1), "1x2 1x60")):
        group = f'job="reporter",team="{team}"'
        series |= {
            f"reporter_as_of_timestamp_seconds{{{group}}}": reports.replace("1200", "120"),
            f'batch_job_state{{{group},batch_job="nightly",state="failed"}}': failed,
        }
    told = firing(rules, series, [1, 5, 15, 40], by="alertname, team")
    a, b = (f'{{alertname="BatchJobFailed", team="{team}"}}' for team in "ab")
    stale = '{alertname="ReporterStale", team="b"}'
    assert told == {1: [a, b], 5: [a, b], 15: [b, stale], 40: [b, stale]}
    assert 'team="a"' in rules[0].read_text()
    counters = (rules[0].parent / "reporter-from-counters.rules.yml").read_text()
    assert "team: mine" not in counters + rules[0].read_text()
    assert "team: a" in counters
    assert "tier: gold" in counters


UP = "slos: [{name: up, service: api, sli: availability, objective: 99, period: 30d, min_bad_events: %d}]\n"
SLO = 'job="reporter",slo="up",service="api"'


KNOWN = 70  # minutes that the counters have been there before anything happens: longer than the hour of the first page


def by_counters(directory: Path, least_bad: int, minutes: list[int], bad: str, **more: str) -> dict[int, list[str]]:
    out = generated(directory, UP % least_bad, "--from-counters")
    events = {"good": f"0x{KNOWN - 1} 0+1x200", "bad": f"0x{KNOWN - 1} {bad}"}
    series = {
        AS_OF: "0+60x300",
        **{f'slo_events_total{{{SLO},result="{result}"}}': told for result, told in events.items()},
        **more,
    }
    rules = [out / "reporter.rules.yml", out / "reporter-from-counters.rules.yml"]
    told = firing(rules, series, [KNOWN + minute for minute in minutes], by="alertname, severity", of='slo="up"')
    return {minute - KNOWN: alerts for minute, alerts in told.items()}


COUNTED = '{alertname="ErrorBudgetBurnByCounters", severity="page"}'
PUSHED = '{alertname="ErrorBudgetBurn", severity="page"}'


def test_a_dead_reporter_ends_no_page_of_counters(tmp_path: Path) -> None:
    told = by_counters(
        tmp_path, 0, [2, 6, 25, 30, 90], "0+2x20 40x180", **{AS_OF: f"0+60x{KNOWN + 20} {60 * KNOWN + 1200}x180"}
    )
    assert told == {2: [], **{minute: [COUNTED] for minute in (6, 25, 30, 90)}}


def test_a_counter_that_comes_in_new_with_a_history_alerts_nobody(tmp_path: Path) -> None:
    out = generated(tmp_path, UP % 0, "--from-counters")
    new = "_x100 0 600x300"
    series = {
        AS_OF: "0+60x400",
        f'slo_events_total{{{SLO},result="good"}}': new,
        f'slo_events_total{{{SLO},result="bad"}}': new,
        'batch_job_state{job="reporter",batch_job="adhoc",state="ok"}': "_x100 1x300",
        'batch_job_runs_total{job="reporter",batch_job="adhoc",status="lost"}': new,
        'batch_job_late_runs_total{job="reporter",batch_job="adhoc"}': new,
        f"llm_unpriced_requests_total{{{CALL}}}": new,
        f'llm_window_unpriced_calls{{{CALL},window="1h"}}': "_x100 0x300",
    }
    rules = [out / "reporter.rules.yml", out / "reporter-from-counters.rules.yml"]
    minutes = [102, 104, 110, 130, 160, 165, 170, 200]
    assert firing(rules, series, minutes) == {minute: [] for minute in minutes}


def test_a_reporter_that_comes_in_new_with_old_troubles_alerts_nobody_and_a_new_trouble_is_told(tmp_path: Path) -> None:
    rules = generated(tmp_path, "{}") / "reporter.rules.yml"
    series = {
        AS_OF: "0+60x400",
        'reporter_recorder_troubles_total{job="reporter",trouble="dropped"}': "0 600x300",
        'reporter_recorder_troubles_total{job="reporter",trouble="spooled"}': "_x100 0 1x300",
        'reporter_counter_regressions_held_total{job="reporter"}': "0 600x300",
    }
    told = firing([rules], series, [3, 10, 50, 61, 66, 105], by="alertname, trouble")
    news = ['{alertname="ReporterRecordingTroubles", trouble="spooled"}']
    assert told == {**{minute: [] for minute in (3, 10, 50, 61, 66)}, 105: news}


def test_a_first_lost_run_of_a_job_that_was_known_is_told_though_its_counter_is_new(tmp_path: Path) -> None:
    rules = generated(tmp_path, "{}") / "reporter.rules.yml"
    series = {
        AS_OF: "0+60x400",
        'batch_job_state{job="reporter",batch_job="adhoc",state="ok"}': "1x300",
        'batch_job_runs_total{job="reporter",batch_job="adhoc",status="lost"}': "_x100 0 1x300",
    }
    assert firing([rules], series, [99, 103, 170]) == {99: [], 103: ['{alertname="BatchJobLost"}'], 170: []}


def test_counters_page_for_as_many_bad_events_as_the_slo_wants(tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    assert by_counters(tmp_path / "few", 50, [20], "0+1x200") == {20: []}
    assert COUNTED in by_counters(tmp_path, 10, [20], "0+1x200")[20]


def test_counters_keep_quiet_for_a_while_after_the_first_alert_has_ended(tmp_path: Path) -> None:
    burns = {f'slo_burn_rate{{{SLO},window="{window}"}}': f"_x{KNOWN} 90x20 0x180" for window in ("1h", "5m")}
    told = by_counters(tmp_path, 0, [15, 23, 30, 40], "0+2x200", **burns)
    pages = {minute: [alert for alert in alerts if "page" in alert] for minute, alerts in told.items()}
    # while both fire, Alertmanager inhibits the second; what counters alone see for long is told
    assert pages == {15: [PUSHED, COUNTED], 23: [], 30: [], 40: [COUNTED]}
