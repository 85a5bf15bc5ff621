"""The generated alert rules: the file is what Grafana takes, and a rule keeps its name as long as it is the same alert."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.cli.console import run
from tests.generate.test_grafana import dashboards, generated, told
from tests.generate.test_prometheus import SLOS

HOSTILE = SLOS + "  - {name: 'a $HOME ${HOME} $$ {{ budget', usd: 5, period: 7d}\n"


def document(out: Path) -> dict[str, Any]:
    made = yaml.safe_load((out / "alerting" / "reporter.yaml").read_text())
    assert isinstance(made, dict)
    return made


def rules(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Rules by title."""
    return {rule["title"]: rule for group in made["groups"] for rule in group["rules"]}


def asked(rule: dict[str, Any]) -> str:
    return str(rule["data"][0]["model"]["expr"])


def test_the_file_is_one_that_grafana_takes(tmp_path: Path) -> None:
    made = document(generated(tmp_path, HOSTILE, "--runbooks", "https://runbooks.example.org/"))
    assert told(tmp_path) == ""
    assert len(rules(made)) > 20
    (spent,) = (title for title in rules(made) if title.startswith("CostBudgetSpent / a "))
    assert spent.startswith("CostBudgetSpent / a $$HOME ")
    assert spent.endswith(" {{ budget / ticket")  # as it is called: a title is no template


def test_the_same_alerts_are_there_as_for_prometheus(tmp_path: Path) -> None:
    found = rules(document(generated(tmp_path)))
    done = run(tmp_path, "generate", "prometheus", "-o", "out")
    assert done.returncode == 0, done.stderr
    groups = yaml.safe_load((tmp_path / "out" / "reporter.rules.yml").read_text())["groups"]
    theirs = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert sorted(title.partition(" / ")[0] for title in found) == sorted(rule["alert"] for rule in theirs)
    assert sorted(str(sorted(rule["labels"].items())) for rule in found.values()) == sorted(
        str(sorted(rule["labels"].items())) for rule in theirs
    )


def test_a_rule_that_can_not_look_keeps_still_and_only_the_watchdog_barks(tmp_path: Path) -> None:
    for title, rule in rules(document(generated(tmp_path))).items():
        states = {rule["noDataState"], rule["execErrState"]}
        assert states == ({"Alerting"} if title.startswith("ReporterStale") else {"KeepLast"}), title
        freshness = re.search(r"and on \(\) \(+abs\(time\(\) - max\(reporter_as_of_timestamp_seconds", asked(rule))
        assert bool(freshness) == (rule["labels"]["source"] != "reporter"), title
        assert rule["for"] == ("2m" if title.startswith("ReporterStale") else "0s")  # nothing ripens on old numbers


def test_texts_are_whole_sentences_that_grafana_can_fill_in(tmp_path: Path) -> None:
    found = rules(document(generated(tmp_path)))
    up = found["ErrorBudgetBurn / up / llm / page"]["annotations"]
    assert up["summary"] == "up burns its error budget too fast"
    assert up["description"] == "The objective is 99.9 % over 30d: good is availability."
    assert up["what_to_type"] == "reporter explain up"
    assert up["dashboard"] == r'{{ reReplaceAll "/+\\z" "" externalURL }}/d/reporter-slo?var-slo=up'
    late = found["BatchJobLate / ticket"]
    assert late["annotations"]["summary"].startswith("{{ $labels.batch_job }} started a run after its grace")
    assert "group by (batch_job)" in asked(late)
    for title, rule in found.items():
        texts = " ".join(rule["annotations"].values())
        assert "$value" not in texts, title
        for label in re.findall(r"\$labels\.(\w+)", texts):  # a label that a series has
            assert label in asked(rule).partition("group by (")[2].partition(")")[0], title


def test_a_rule_leads_to_a_panel_that_is_there(tmp_path: Path) -> None:
    out = generated(tmp_path)
    made = dashboards(out)
    panels = {(uid, panel["id"]): panel["title"] for uid, board in made.items() for panel in board["panels"]}
    led = {title: panels[rule["dashboardUid"], rule["panelId"]] for title, rule in rules(document(out)).items()}
    assert led["ErrorBudgetBurn / up / llm / page"] == "Burn rate by window"
    assert led["LLMLatencyHigh / ticket"] == "Latency quantiles"
    assert led["BatchJobLost / ticket"] == "Jobs"


def test_a_rule_keeps_its_uid_whatever_changes_about_it(tmp_path: Path) -> None:
    before = rules(document(generated(tmp_path)))
    document_ = SLOS.replace("objective: 99.9", "objective: 99").replace("labels: {team: ml, severity: mine}", "")
    after = rules(document(generated(tmp_path, document_, "--slow-after", "9s", "--stale-after", "10m")))
    assert {title: rule["uid"] for title, rule in after.items()} == {t: rule["uid"] for t, rule in before.items()}
    assert after != before
    assert "deleteRules" not in document(tmp_path / "out")


def test_a_rule_that_is_no_more_is_deleted_until_it_comes_back(tmp_path: Path) -> None:
    before = rules(document(generated(tmp_path)))
    without = SLOS.replace("name: half", "name: other")
    made = document(generated(tmp_path, without))
    halves = sorted(rule["uid"] for title, rule in before.items() if "/ half /" in title)
    assert halves
    assert [entry["uid"] for entry in made["deleteRules"]] == halves
    assert told(tmp_path) == ""
    assert document(generated(tmp_path, without)) == made  # Grafana may not have looked yet
    others = sorted(rule["uid"] for title, rule in rules(made).items() if "/ other /" in title)
    back = document(generated(tmp_path))
    assert [entry["uid"] for entry in back["deleteRules"]] == others
    assert rules(back) == before


def test_without_alerts_those_that_were_there_are_deleted(tmp_path: Path) -> None:
    before = rules(document(generated(tmp_path)))
    made = document(generated(tmp_path, SLOS, "--no-alerts"))
    assert "groups" not in made
    assert [entry["uid"] for entry in made["deleteRules"]] == sorted(rule["uid"] for rule in before.values())
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    assert not (generated(fresh, SLOS, "--no-alerts") / "alerting").exists()


def test_a_data_source_that_is_there_already_is_used(tmp_path: Path) -> None:
    out = generated(tmp_path, SLOS, "--datasource-uid", "P1809F7CD0C75ACF3")
    assert not (out / "datasources").exists()
    assert {rule["data"][0]["datasourceUid"] for rule in rules(document(out)).values()} == {"P1809F7CD0C75ACF3"}


def test_rules_that_can_not_be_read_are_told(tmp_path: Path) -> None:
    out = generated(tmp_path)
    (out / "alerting" / "reporter.yaml").write_text(
        "# Generated by `reporter generate grafana`\ngroups: [{rules: 3}]\n"
    )
    done = run(tmp_path, "generate", "grafana", "-o", "out")
    assert done.returncode == 2
    assert "which rules to delete can't be told" in done.stderr
