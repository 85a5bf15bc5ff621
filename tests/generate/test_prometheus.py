"""The generated rules: what promtool and amtool say of them, and what unit tests of them are worth."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cli.console import run
from tests.servers import binary

SLOS = r"""
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
  - {name: half, sli: p50 < 1s, period: 7d}
budgets:
  - {name: month, usd: 500, calendar: month}
"""


def generated(directory: Path, document: str = SLOS, *options: str) -> Path:
    """Where `reporter generate prometheus` and `alertmanager` wrote, from this reporter.yaml."""
    (directory / "reporter.yaml").write_text(document)
    for kind, more in (("prometheus", options), ("alertmanager", ())):
        done = run(directory, "generate", kind, "-o", "out", *more)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return directory / "out"


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [binary("promtool", "prometheus"), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_what_is_generated_is_what_promtool_and_amtool_take(tmp_path: Path) -> None:
    out = generated(tmp_path, SLOS, "--from-counters", "--runbooks", "https://runbooks.example.org/")
    checked = promtool("check", "config", out / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 rule files found" in checked.stdout
    amtool = subprocess.run(
        [binary("amtool", "prometheus-alertmanager"), "check-config", str(out / "alertmanager.yml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert amtool.returncode == 0, amtool.stdout + amtool.stderr


GATEWAY = "pushgateway: {url: https://gateway.example.org/gw, %s}\n"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("username: u, password_file: secret", {"basic_auth": {"username": "u", "password_file": "/secret"}}),
        ("bearer_token_file: secret", {"authorization": {"type": "Bearer", "credentials_file": "/secret"}}),
        (
            "ca_file: ca.pem, client_cert: cert.pem, client_key: key.pem",
            {"tls_config": {"ca_file": "/ca.pem", "cert_file": "/cert.pem", "key_file": "/key.pem"}},
        ),
        ("client_cert: both.pem", {"tls_config": {"cert_file": "/both.pem", "key_file": "/both.pem"}}),
        ("timeout: 5s", {}),
    ],
)
def test_prometheus_scrapes_a_gateway_with_the_same_proof_that_is_pushed_with(
    tmp_path: Path, settings: str, told: dict[str, dict[str, str]]
) -> None:
    for name in ("secret", "ca.pem", "cert.pem", "key.pem", "both.pem"):
        (tmp_path / name).write_text("canary")
    out = generated(tmp_path, SLOS + GATEWAY % settings)

    text = (out / "prometheus.yml").read_text()
    (job,) = yaml.safe_load(text)["scrape_configs"]
    proofs = {
        key: {name: value.replace(str(tmp_path), "") for name, value in job[key].items()}
        for key in ("basic_auth", "authorization", "tls_config")
        if key in job
    }
    assert (proofs, job["scheme"], job["metrics_path"]) == (told, "https", "/gw/metrics")
    assert "canary" not in text
    assert run(tmp_path, "check", "out").returncode == 0


def test_a_password_of_the_gateway_is_written_nowhere_and_its_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(SLOS + GATEWAY % "username: u, password: canary")

    done = run(tmp_path, "generate", "prometheus", "-o", "out")

    assert (done.returncode, "put it into out/pushgateway.password" in done.stderr) == (0, True), done.stderr
    assert not any("canary" in path.read_text() for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://alertmanager:9093", {"static_configs": [{"targets": ["alertmanager:9093"]}]}),
        (
            "https://watch.example.org/alerts/",
            {"scheme": "https", "path_prefix": "/alerts", "static_configs": [{"targets": ["watch.example.org:443"]}]},
        ),
        ("http://[::1]:9093", {"static_configs": [{"targets": ["[::1]:9093"]}]}),
    ],
)
def test_alerts_go_to_the_alertmanager_that_is_named(tmp_path: Path, url: str, told: dict[str, object]) -> None:
    out = generated(tmp_path, SLOS, "--alertmanager-url", url)

    assert yaml.safe_load((out / "prometheus.yml").read_text())["alerting"] == {"alertmanagers": [told]}
    assert promtool("check", "config", out / "prometheus.yml").returncode == 0


@pytest.mark.parametrize("url", ["localhost:9093", "http://", "ftp://a:21", "http://u:canary@a:9093", "http://a:b"])
def test_an_address_of_alertmanager_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / "reporter.yaml").write_text(SLOS)

    done = run(tmp_path, "generate", "prometheus", "-o", "out", "--alertmanager-url", url)

    assert (done.returncode, done.stdout) == (2, "")
    assert "--alertmanager-url: must be an http or https URL" in done.stderr
    assert "canary" not in done.stderr


def test_each_alert_fires_and_ends_as_the_unit_tests_beside_it_say(tmp_path: Path) -> None:
    out = generated(tmp_path)
    tested = promtool("test", "rules", out / "reporter.rules.test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    tests = yaml.safe_load((out / "reporter.rules.test.yml").read_text())["tests"]
    named = " ".join(test["name"] for test in tests)
    alerts = {rule.get("alert") for rule in rules(out)} - {None}
    about_calls = {"LLMLatencyHigh", "LLMThroughputLow", "LLMCallsUnpriced"}
    of_itself = {"ReporterPushRefused", "ReporterCountersHeld", "ReporterSeriesCapped", "ReporterRecordingTroubles"}
    spent = {"CostBudgetSpent", "CostBudgetWillNotLast"}
    assert {alert for alert in alerts if alert not in named} == about_calls | of_itself | spent


def rules(out: Path) -> list[dict[str, str]]:
    groups = yaml.safe_load((out / "reporter.rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ONE = "slos: [{name: up, sli: availability, objective: 99, period: 30d, min_bad_events: 5}]\n"


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"\n *and on \(\) \(abs\(time\(\)[^\n]*", "", ),  # a dead reporter's numbers page
        (r"\n *or\n *max by [^\n]*ALERTS[\s\S]*?(?=\n    labels)", ""),  # and their absence resolves
        (r'window="5m"\} > 14.4', 'window="5m"} > 0'),
        (r'window="1h"\} > 14.4', 'window="1h"} > 0'),
        (r"> 14.4", "> 144"),
        (r"> 14.4 unless", "> 1440 unless"),  # a gap between two runs of a job resolves
        (r'result="bad"\} >= 5', 'result="bad"} >= 4'),
        (r"\n *or\n *absent\(reporter_as_of[^\n]*", ""),
        (r"batch_job_state\{job=\"reporter\",state=\"lost\"\} == 1", 'batch_job_state{state="lost"} == 0'),
        (r" or \(increase\(batch_job_runs_total[^)]*\) > 0 and on \(batch_job\)[^)]*\)", ""),  # a killed run, if one follows
        (r"increase\(batch_job_late_runs_total[^)]*\) > 0", 'batch_job_state{state="late"} == 1'),  # within its grace
        (r" and on \(batch_job\) batch_job_state[^)]*", ""),  # the past of a counter that comes in new
        (r'slo_burn_rate', "slo_burn_rates"),
    ],
)  # fmt: skip
def test_a_rule_that_says_something_else_does_not_pass(tmp_path: Path, pattern: str, instead: str) -> None:
    out = generated(tmp_path, ONE)
    text = (out / "reporter.rules.yml").read_text()
    changed, found = re.subn(pattern, instead, text)
    assert found
    (out / "reporter.rules.yml").write_text(changed)
    tested = promtool("test", "rules", out / "reporter.rules.test.yml")
    assert tested.returncode != 0
    assert "FAILED" in tested.stdout + tested.stderr


def test_the_same_configuration_gives_the_same_bytes_and_says_so(tmp_path: Path) -> None:
    out = generated(tmp_path)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = run(tmp_path, "generate", "prometheus", "-o", "out")
    assert again.stdout.splitlines() == [
        f"out/{name} (as it was)" for name in ("reporter.rules.yml", "reporter.rules.test.yml", "prometheus.yml")
    ]
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_file_that_somebody_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    done = run(tmp_path, "generate", "prometheus", "-o", ".")
    assert (done.returncode, done.stdout) == (2, "")
    assert "prometheus.yml: is not a generated file, so it is left alone" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["prometheus.yml"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stale-after", "10s"], "--stale-after 10s: must be 60 s at least"),
        (["--slow-after", "soon"], "--slow-after: "),
        (["--stale-after", "0s"], "--stale-after 0s: must be"),
        (["--stale-after", "10y"], "--stale-after 10y: must be at most 7d"),
        (["--slow-speed", "nan"], "--slow-speed nan: must be a number"),
        (["--slow-speed", "-3"], "--slow-speed -3.0: must be a number"),
    ],
)
def test_what_can_not_be_meant_is_told(tmp_path: Path, options: list[str], says: str) -> None:
    done = run(tmp_path, "generate", "prometheus", "-o", "out", *options)
    assert (done.returncode, done.stdout, says in done.stderr) == (2, "", True), done.stderr


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("alertmanager --webhook not-a-url", "--webhook: must be an http or https URL"),
        ("grafana --prometheus-url nope", "--prometheus-url: must be an http or https URL"),
        ("grafana --datasource-uid a.b", "--datasource-uid a.b: must be 1 to 40 letters"),
    ],
)
def test_what_nobody_would_take_is_not_written(tmp_path: Path, command: str, says: str) -> None:
    done = run(tmp_path, "generate", *command.split(), "-o", "out")
    assert (done.returncode, done.stdout, says in done.stderr) == (2, "", True), done.stderr
    assert not (tmp_path / "out").exists()


def test_there_are_as_many_unit_tests_for_many_slos_as_for_one(tmp_path: Path) -> None:
    counts = set()
    for many in (1, 40):
        document = "slos:\n" + "".join(f"- {{name: s{n}, sli: availability, objective: 99}}\n" for n in range(many))
        tests = yaml.safe_load((generated(tmp_path, document) / "reporter.rules.test.yml").read_text())["tests"]
        counts.add(len(tests))
    assert len(counts) == 1


def test_rules_that_are_no_longer_asked_for_go_unless_somebody_wrote_them(tmp_path: Path) -> None:
    file = generated(tmp_path, SLOS, "--from-counters") / "reporter-from-counters.rules.yml"
    assert file.exists()
    generated(tmp_path)
    assert not file.exists()
    file.write_text("groups: []\n")
    generated(tmp_path)
    assert file.exists()


def test_a_label_that_would_cost_all_the_rules_is_refused_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(
        "slos:\n- name: up\n  sli: availability\n  objective: 99\n  labels:\n    team: a\n    team-name: z\n    window: b\n"
    )
    done = run(tmp_path, "check")
    assert done.returncode == 2
    assert "reporter.yaml:7: slos[0].labels.team-name: is no label name of Prometheus" in done.stderr
    assert "reporter.yaml:8: slos[0].labels.window: is a label that alerts or metrics have already" in done.stderr


def test_labels_of_openslo_that_alerts_can_not_have_are_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: up, labels: {app.kubernetes.io/name: x, team: a}}\n"
        "spec: {service: api, budgetingMethod: Occurrences, objectives: [{target: 0.99}],"
        " timeWindow: [{duration: 30d, isRolling: true}], indicator: {metadata: {name: i}, spec: {ratioMetric: {counter: true,"
        " good: {metricSource: {type: Prometheus, spec: {query: good}}},"
        " total: {metricSource: {type: Prometheus, spec: {query: all}}}}}}}\n"
    )
    done = run(tmp_path, "import", "openslo", "slo.yaml")
    assert "labels that Prometheus' alerts can't have are left out: app.kubernetes.io/name" in done.stderr


def test_without_a_configuration_it_says_that_no_slo_is_in_it(tmp_path: Path) -> None:
    done = run(tmp_path, "generate", "prometheus", "-o", "out")
    assert done.returncode == 0
    assert "there is no reporter.yaml, so no SLO of yours is in it" in done.stderr
    assert promtool("check", "config", tmp_path / "out" / "prometheus.yml").returncode == 0
