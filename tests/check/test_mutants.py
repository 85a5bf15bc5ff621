"""One thing is changed in what was generated, as a person might: it is told, on its line, with what was meant."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reporter.check import complaints_of, read
from tests.check.files import changed, complaints, generate, texts_in

DOCUMENT = r"""
slos:
  - {name: 'chat "latency" \ {{ .Evil }}', service: llm-batch, sli: p95 < 2.5s, period: 30d, where: {model: "?*"}}
  - name: up
    service: llm
    sli: availability
    objective: 99.9
    period: 30d
    min_bad_events: 5
    description: "don't {{ page }} me"
    runbook: "https://runbooks.example.org/{{up"
    labels: {team: ml, severity: mine}
budgets:
  - {name: 'a $HOME ${HOME} $$ budget', usd: 500, calendar: month}
"""
RULES, TESTS, COUNTERS = "reporter.rules.yml", "reporter.rules.test.yml", "reporter-from-counters.rules.yml"
CONFIG, MANAGER = "prometheus.yml", "alertmanager.yml"
ALERTS, SOURCES, PROVIDER = "alerting/reporter.yaml", "datasources/reporter.yaml", "dashboards/reporter.yaml"
BOARD, SLO_BOARD, JOBS = (f"dashboards/reporter/reporter-{name}.json" for name in ("overview", "slo", "batch-jobs"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("generated"), DOCUMENT)


@pytest.fixture(scope="module")
def texts(out: Path) -> dict[str, str]:
    return texts_in(out)


def test_nothing_is_said_of_what_was_generated(
    texts: dict[str, str], monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    monkeypatch.chdir(out)
    assert complaints(texts) == []
    assert len(texts) == 14


# (file, what is changed, into what, what is said of it on the line of the change)
MUTANTS: list[tuple[str, str, str, str]] = [
    # Prometheus' rules
    (RULES, r"slo_burn_rate\{", "slo_burn_rates{", "there is no metric slo_burn_rates; did you mean slo_burn_rate?"),
    (RULES, r"batch_job_state\{", "batch_job_status{",
     "there is no metric batch_job_status; did you mean batch_job_state"),
    (RULES, r'window="1h"', 'windw="1h"', "slo_burn_rate has no label windw; did you mean window?"),
    (RULES, r"max by \(slo, service\)", "max by (slo, servce)",
     "by (…): nothing inside has the label servce; did you mean"),
    (RULES, r"and ignoring \(window\)", "and ignoring (windows)", "ignoring (…): nothing inside has the label windows"),
    (RULES, r"llm_request_duration_seconds_bucket\{", "llm_request_duration_seconds{",
     "it is a histogram: llm_request_dur"),
    (RULES, r"sum by \(le, batch_job", "sum by (batch_job", "histogram_quantile() of something without the label le"),
    (RULES, r"histogram_quantile\(0.5, sum by \(le,(.*?)\) \(rate\((.*?)\[5m\]\)\)\)",
     r"histogram_quantile(0.5, sum by (le,\1) (\2))",
     "histogram_quantile() of llm_request_duration_seconds_bucket since ever: take rate("),
    (RULES, r"increase\((reporter_counter_regressions_held_total\{.*?\})\[1h\]\)", r"\1",
     "a counter that only grows: take increase("),
    (RULES, r"max by \(batch_job\) \((batch_job_state\{.*?\}) == 1", r"max by (batch_job) (increase(\1[1h]) == 1",
     "increase() of batch_job_state, which is a gauge"),
    (RULES, r'state="missed"', 'state="mised"', 'batch_job_state has no state="mised"; did you mean missed?'),
    (RULES, r'status="success"', 'statuz="success"', "has no label statuz; did you mean status?"),
    (RULES, r'quantile="0.99"', 'quantile="0.999"', 'has no quantile="0.999"; did you mean 0.99?'),
    (RULES, r"rate\(", "rat(", "is no PromQL: unknown function with name 'rat'"),
    (RULES, r"\[5m\]\)\)\)$", "[5m]))", "is no PromQL: unclosed left parenthesis"),
    (RULES, r"\[5m\]", "", "is no PromQL: expected type matrix in call to function 'rate'"),
    (RULES, r'ALERTS\{alertname="BatchJobLost"', 'ALERTS{alertname="BatchJobLst"', "did you mean BatchJobLost?"),
    (RULES, r"^  - alert: ReporterStale", "  - alrt: ReporterStale", "unknown key; did you mean alert?"),
    (RULES, r"    for: 2m", "    for: 2 m", "'2 m' is no length of time; write one like 30s"),
    (RULES, r"    for: 2m", "    forr: 2m", "unknown key; did you mean for?"),
    (RULES, r"^    annotations:", "    anotations:", "unknown key; did you mean annotations?"),
    (RULES, r"\$labels\.batch_job \}\} did", "$labels.batch_jb }} did",
     "the alert has no label batch_jb; did you mean batch_job?"),
    (RULES, r"\$labels\.batch_job \}\} did", "$label.batch_job }} did",
     "templates have no $label; did you mean labels?"),
    (RULES, r"\{\{ \$labels\.batch_job \}\} did", "{{ $labels.batch_job } did", "a {{ has no }} that ends it"),
    (RULES, r"humanizeDuration", "humaniseDuration",
     "templates have no function humaniseDuration; did you mean humanizeDuration?"),
    (RULES, r"batch_job_last_success_timestamp_seconds", "batch_job_last_sucess_timestamp_seconds",
     "there is no metric batch_job_last_su"),
    (RULES, r"severity: ticket", "severity: tickets", "routes know page and ticket; did you mean ticket?"),
    (RULES, r'alertstate="firing",service="llm",severity="page"', r'alertstate="firing",service="llm",severity="ticket"',
     'asks whether it fires already with severity="ticket", but has severity="page", so it never does'),
    (RULES, r"^- name: reporter-slos", "- name: reporter-itself", "a group of this name is in the file already"),
    (RULES, r"^- name: reporter-slos", "- nam: reporter-slos", "unknown key; did you mean name?"),
    (RULES, r"record: llm:requests:rate5m", "record: llm requests rate5m", "is no name of a metric"),
    (RULES, r"record: llm:requests:rate5m", "record: llm_tokens_total", "is a metric that is pushed; name it like"),
    (COUNTERS, r"slo:burn_rate:increase1h\{", "slo:burn_rate:increase1hr{",
     "there is no metric slo:burn_rate:increase1hr; did you mean slo"),
    (COUNTERS, r'result="bad"', 'result="bat"', 'slo_events_total has no result="bat"; did you mean bad?'),
    # unit tests of them
    (TESTS, r"^- reporter.rules.yml", "- reporter.rule.yml",
     "there is no file reporter.rule.yml beside this one; did you mean reporter.rules.yml"),
    (TESTS, r"series: slo_burn_rate", "series: slo_burnrate",
     "there is no metric slo_burnrate; did you mean slo_burn_rate?"),
    (TESTS, r"values: 1x\d+", "values: 1*120", "'1*120' is no value of a series; write numbers like 1x10"),
    (TESTS, r"eval_time: 10m", "eval_time: ten", "'ten' is no length of time"),
    (TESTS, r'alertname="ErrorBudgetBurn"', 'alertname="ErrorBudgetBrn"', "did you mean ErrorBudgetBurn?"),
    (TESTS, r"promql_expr_test:", "promql_expr_tests:", "unknown key; did you mean promql_expr_test?"),
    # Prometheus' configuration
    (CONFIG, r"honor_labels: true", "honor_labels: false", "scrapes a Pushgateway without honor_labels: true"),
    (CONFIG, r"honor_labels: true", "honour_labels: true", "unknown key; did you mean honor_labels?"),
    (CONFIG, r"^- reporter.rules.yml", "- rules.yml", "there is no file rules.yml beside this one"),
    (CONFIG, r"localhost:9091", "http://localhost:9091", "is no target: write host:port"),
    (CONFIG, r"  scrape_interval: 15s\n  sample", "  scrape_interval: 15s\n  scrape_timeout: 1m\n  sample",
     "is longer than the 15 s between scrapes"),
    (CONFIG, r"evaluation_interval: 15s", "evaluation_interval: 15", "15 is no length of time; write one like 30s"),
    # Alertmanager's
    (MANAGER, r"  receiver: reporter-ticket", "  receiver: reporter-tickets",
     "there is no receiver reporter-tickets; did you mean"),
    (MANAGER, r'severity="page"', 'severty="page"', "no alert has the label severty; did you mean severity?"),
    (MANAGER, r'severity="page"', 'severity="pgae"', 'no alert has severity="pgae"; did you mean page?'),
    (MANAGER, r'severity="page"', 'severity page', "is no matcher; write one like"),
    (MANAGER, r"alertname=\"ReporterStale\"", 'alertname="ReporterStael"', "did you mean ReporterStale?"),
    (MANAGER, r"repeat_interval: 1d", "repeat_interval: 1m",
     "is shorter than group_interval, so it is never waited for"),
    (MANAGER, r"group_wait: 30s", "group_wiat: 30s", "unknown key; did you mean group_wait?"),
    (MANAGER, r"url: http://localhost:9095/", "url: localhost:9095", "is no address; write one like https://"),
    (MANAGER, r'source=~"slo\|budget', 'source=~"slo(|budget', "is no regular expression"),
    # Grafana's alerts
    (ALERTS, r"^  folder: reporter\n", "", "the group has no folder, which it needs"),
    (ALERTS, r"interval: 1m", "interval: 15s", "15s is no multiple of 10s, at which Grafana's scheduler ticks"),
    (ALERTS, r"interval: 1m", "interval: 1 minute", "'1 minute' is no length of time"),
    (ALERTS, r"for: 2m", "for: 15s", "15s is no multiple of the group's interval, 1m"),
    (ALERTS, r"  expression: A", "  expression: Z", "there is no query Z in the rule"),
    (ALERTS, r"condition: C", "condition: D", "there is no query D in the rule; there are A, B, C"),
    (ALERTS, r'budget="a ', 'budget="$budget", budget!="a ', "alert rules can't use a dashboard's variables"),
    (ALERTS, r"range: false", "range: true", "instant and range are both true"),
    (ALERTS, r"noDataState: Alerting", "noDataState: alerting",
     "'alerting' is not what may stand here; did you mean Alerting?"),
    (ALERTS, r"execErrState: Alerting", "execErrState: NoData", "'NoData' is not what may stand here"),
    (ALERTS, r"noDataState: Alerting", "nodataState: Alerting", "unknown key; did you mean noDataState?"),
    (ALERTS, r"uid: reporter-", "uid: reporter/", "is no uid: letters, digits, - and _ only"),
    (ALERTS, r"uid: reporter-", f"uid: {'r' * 30}", "characters; a uid has 40 at most"),
    (ALERTS, r"title: ReporterStale", f"title: {'t' * 191}", "characters; Grafana takes 190 at most"),
    (ALERTS, r"title: ReporterStale", "title: ReporterStale $x", "write $$ for a $"),
    (ALERTS, r"summary: 'No report", "summary: '${x} No report", "Grafana puts an environment variable where ${…} is"),
    (ALERTS, r"severity: page", "severity: pages", "routes know page and ticket; did you mean page?"),
    (ALERTS, r"team: ml", "team: $ml", "write $$ for a $"),
    (ALERTS, r"datasourceUid: reporter-prometheus", "datasourceUid: reporter-prometeus",
     "there is no data source reporter-prometeus; did you"),
    (ALERTS, r"datasourceUid: reporter-prometheus", "datasourceUid: ${datasource}",
     "alert rules can't use a dashboard's variables"),
    (ALERTS, r"datasourceUid: __expr__", "datasourceUid: __exp__", "there is no data source __exp__"),
    (ALERTS, r"panelId: (\d+)", "panelId: 99", "has no panel 99"),
    (ALERTS, r"dashboardUid: reporter-slo", "dashboardUid: reporter-slow",
     "there is no dashboard reporter-slow; did you mean reporter-slo?"),
    (ALERTS, r"type: threshold", "type: treshold", "there is no expression 'treshold'; did you mean threshold?"),
    (ALERTS, r"type: gt", "type: above", "'above' is not what may stand here"),
    (ALERTS, r"reducer: last", "reducer: latest", "'latest' is not what may stand here; did you mean last?"),
    (ALERTS, r"\$labels\.batch_job", "$labels.job_name", "the alert has no label job_name"),
    (ALERTS, r"summary: 'No report", "summary: '{{ printf \"up\" | query }} No report",
     "Grafana's templates have no query"),
    (ALERTS, r"slo_burn_rate\{", "slo_burn_rates{", "there is no metric slo_burn_rates; did you mean slo_burn_rate?"),
    (ALERTS, r"from: 600", "from: 0", "must be more than to"),
    (ALERTS, r"^apiVersion: 1", "apiVersion: 2", "must be 1"),
    (ALERTS, r"isPaused: false", "isPaused: 'no'", "must be true or false, unquoted"),
    (ALERTS, r"instant: true", "instnat: true", "unknown key; did you mean instant?"),
    # data sources and dashboard providers
    (SOURCES, r"type: prometheus", "typ: prometheus", "unknown key; did you mean type?"),
    (SOURCES, r"access: proxy", "access: server", "'server' is not what may stand here"),
    (SOURCES, r"timeInterval: 15s", "timeInterval: 15", "15 is no length of time"),
    (SOURCES, r"httpMethod", "httpMehtod", "unknown key; did you mean httpMethod?"),
    (SOURCES, r"url: http://", "url: ", "is no address; write one like http://prometheus:9090"),
    (PROVIDER, r"type: file", "type: files", "'files' is not what may stand here; did you mean file?"),
    (PROVIDER, r"foldersFromFilesStructure: false", "foldersFromFilesStructure: true",
     "makes folders itself: leave folder and folderUid out"),
    (PROVIDER, r"updateIntervalSeconds: 30", "updateIntervalSeconds: 0", "must be more than 0"),
    # dashboards
    (BOARD, r"slo_error_budget_remaining_ratio\{", "slo_error_budget_left_ratio{",
     "there is no metric slo_error_budget_left_ratio; did"),
    (BOARD, r'"unit": "s"', '"unit": "sec"', "Grafana knows no unit sec"),
    (BOARD, r'"w": 24', '"w": 25', "reaches to column 25, and the grid has 24"),
    (BOARD, r'"x": 4,', '"x": 3,', "lies on top of 'Age of the report'"),
    (BOARD, r'"x": 4,', '"x": "4",', "must be a number, unquoted"),
    (BOARD, r'"id": 2,', '"id": 1,', "a panel of this id is in the dashboard already; it is there already at"),
    (BOARD, r'"id": null', '"id": 17', "is the number of another Grafana's database"),
    (BOARD, r'"uid": "reporter-overview"', '"uid": "reporter overview"', "is no uid"),
    (BOARD, r'"uid": "\$\{datasource\}"', '"uid": "${datasrc}"',
     "there is no variable datasrc in the dashboard; did you mean datasource?"),
    (BOARD, r"/d/reporter-slo\?", "/d/reporter-slos?",
     "there is no dashboard reporter-slos; did you mean reporter-slo?"),
    (BOARD, r'"type": "stat"', '"type": "stats"', "there is no panel stats; did you mean stat?"),
    (BOARD, r'"colorMode"', '"colourMode"', "unknown key; did you mean colorMode?"),
    (BOARD, r'"id": "organize"', '"id": "organise"', "there is no transformation organise; did you mean organize?"),
    (BOARD, r'"id": "byName"', '"id": "byname"', "there is no matcher byname; did you mean byName?"),
    (BOARD, r'"id": "custom.cellOptions"', '"id": "custom.cellOption"',
     "there is no setting custom.cellOption; did you mean custom.cellOptions"),
    (BOARD, r'"schemaVersion": 39', '"schemaVersion": "39"', "must be a number, unquoted"),
    (BOARD, r'"panels":', '"panel":', "unknown key; did you mean panels?"),
    (SLO_BOARD, r'slo=\\"\$slo\\"', r'slo=\\"$sloo\\"',
     "there is no variable sloo in the dashboard; did you mean slo?"),
    (SLO_BOARD, r'"query": "label_values\(slo_objective_ratio, slo\)"',
     '"query": "label_values(slo_objective_ratio, slos)"',
     "slo_objective_ratio has no label slos; did you mean slo?"),
    (SLO_BOARD, r'"lineWidth"', '"lineWidht"', "unknown key; did you mean lineWidth?"),
    (SLO_BOARD, r'\{\{window\}\}', "{{windw}}", "the query gives no label windw; did you mean window?"),
    (SLO_BOARD, r'"from": "now-7d"', '"from": "7d ago"', "'7d ago' is no moment"),
    (SLO_BOARD, r'"value": 14.4', '"value": 0.5', "must be more than the step before it"),
    (JOBS, r'"refId": "B"', '"refId": "A"', "a query of this refId is in the panel already"),
    (JOBS, r'"refresh": "1m"', '"refresh": "1 m"', "'1 m' is no length of time"),
    (JOBS, r'"expr": ".*"', '"expr": ""', "the query asks nothing"),
    (JOBS, r'"instant": false,\n(\s*)"range": true', r'"instant": false,\n\1"range": false',
     "instant and range are both false"),
]  # fmt: skip


ABOVE = {  # what is not there is told where it should be
    "the group has no folder, which it needs": 2,
}


@pytest.mark.parametrize(("file", "pattern", "instead", "said"), MUTANTS)
def test_a_change_for_the_worse_is_told_on_its_line(
    texts: dict[str, str], monkeypatch: pytest.MonkeyPatch, out: Path, file: str, pattern: str, instead: str, said: str
) -> None:
    monkeypatch.chdir(out)  # rule files are looked for beside those that name them
    mutant, line = changed(texts[file], pattern, instead)
    among = {name: text for name, text in texts.items() if name != TESTS}  # which are long, and make nothing
    found = complaints({**among, file: mutant})
    matching = [complaint for complaint in found if said in complaint.why]
    assert matching, "\n".join(map(str, found))
    assert (matching[0].file, matching[0].line) == (file, line - ABOVE.get(said, 0)), matching[0]


NONSENSE: list[Any] = [None, 7, -1, 1.5, "x", "$x", "{{", "", True, [], {}, [None], [[7]], {"type": []}]


@pytest.mark.parametrize("seed", range(6))
def test_nonsense_anywhere_is_told_and_ends_nothing(texts: dict[str, str], seed: int) -> None:
    chance = random.Random(seed)
    for name, text in texts.items():
        if name == TESTS:
            continue
        for _ in range(8):
            data = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
            for _ in range(chance.choice((1, 3))):
                owner, key = chance.choice(list(entries(data)))
                owner[key] = copy.deepcopy(chance.choice(NONSENSE))
            file = read(json.dumps(data), name if name.endswith(".json") else f"{name}.json")
            for complaint in complaints_of([file] if file else []):
                assert str(complaint).startswith(name)


def entries(data: Any) -> Iterator[tuple[Any, Any]]:
    """Where values stand in it: (mapping or list, key or place)."""
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        yield data, key
        if isinstance(value, dict | list):
            yield from entries(value)
