"""What one file has and another uses, or has again."""

from __future__ import annotations

import pytest

from tests.check.files import complaints

GROUP = """apiVersion: 1
groups:
- name: {name}
  folder: f
  interval: 1m
  rules:
  - uid: {uid}
    title: {title}
    condition: A
    noDataState: OK
    execErrState: Error
    data:
    - refId: A
      relativeTimeRange: {{from: 600, to: 0}}
      datasourceUid: p
      model: {{refId: A, expr: slo_burn_rate, instant: true}}
"""
BOARD = (
    '{"uid": "%s", "title": "%s", "panels": [{"id": 1, "type": "text", "gridPos": {"x": 0, "y": 0, "w": 1, "h": 1}}]}'
)
SOURCE = "apiVersion: 1\ndatasources: [{name: %s, uid: %s, type: prometheus, url: 'http://a:1'}]\n"
RULE = "groups: [{name: a, rules: [%s]}]\n"


def told(**texts: str) -> list[str]:
    return list(map(str, complaints({name.replace("_", "."): text for name, text in texts.items()})))


def test_rules_of_two_files_must_not_have_one_name() -> None:
    first, same = GROUP.format(name="a", uid="u", title="t"), GROUP.format(name="b", uid="u", title="other")
    assert told(a_yaml=first, b_yaml=same) == [
        "b.yaml:7: groups[0].rules[0].uid: another rule has this uid; it is there already at a.yaml:7"
    ]
    same = GROUP.format(name="a", uid="v", title="t")
    assert told(a_yaml=first, b_yaml=same) == [
        "b.yaml:3: groups[0].name: another group in this folder has this name; it is there already at a.yaml:3",
        "b.yaml:8: groups[0].rules[0].title: another rule in this folder has this title; it is there already at a.yaml:8",
    ]


def test_a_rule_can_not_be_there_and_deleted() -> None:
    text = GROUP.format(name="a", uid="u", title="t") + "deleteRules: [{orgId: 1, uid: u}, {orgId: 1, uid: w}]\n"
    assert [line.partition(";")[0] for line in told(a_yaml=text)] == [
        "a.yaml:17: deleteRules[0]: deletes a rule that the file has: take it out here, or there"
    ]
    assert told(a_yaml="apiVersion: 1\ndeleteRules: [{orgId: 1}]\n") == [
        "a.yaml:2: deleteRules[0]: the entry has no uid, which it needs"
    ]
    assert told(a_yaml="apiVersion: 1\ndeleteContactPoints:\n- uid: a\n  name: b\n") == [
        "a.yaml:4: deleteContactPoints[0].name: unknown key; there are orgId, uid"
    ]


def test_a_data_source_is_looked_for_where_any_is_known() -> None:
    rules = GROUP.format(name="a", uid="u", title="t")
    assert told(a_yaml=rules) == []
    assert told(a_yaml=rules, b_yaml=SOURCE % ("n", "p")) == []
    (line,) = told(a_yaml=rules, b_yaml=SOURCE % ("n", "q"))
    assert line == "a.yaml:15: groups[0].rules[0].data[0].datasourceUid: there is no data source p; there are q"


def test_dashboards_must_not_have_one_uid_or_title() -> None:
    assert told(a_json=BOARD % ("a", "A"), b_json=BOARD % ("a", "B")) == [
        "b.json:1: uid: another dashboard has this uid; it is there already at a.json:1"
    ]
    assert told(a_json=BOARD % ("a", "A"), b_json=BOARD % ("b", "A")) == [
        "b.json:1: title: another dashboard has this title; it is there already at a.json:1"
    ]
    assert told(a_json='{"dashboard": %s, "overwrite": true}' % (BOARD % ("a", "A"))) == [
        "a.json:1: dashboard: is wrapped in a dashboard key, as the HTTP API has it: a file has the dashboard itself, bare"
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("instant: true", ""),
        ("range: true", "condition: A gives values over time: set instant: true, or reduce it first"),
    ],
)
def test_a_condition_on_values_over_time_is_refused(change: str, said: str) -> None:
    text = GROUP.format(name="a", uid="u", title="t").replace("instant: true", change)
    assert [line.partition("rules[0].")[2] for line in told(a_yaml=text)] == ([said] if said else [])


def test_a_threshold_of_values_over_time_is_refused_and_of_reduced_ones_is_not() -> None:
    threshold = (
        "    - {refId: C, datasourceUid: __expr__, model: {refId: C, type: threshold, expression: %s,"
        " conditions: [{evaluator: {type: gt, params: [0]}}]}}\n"
    )
    reduced = (
        "    - {refId: B, datasourceUid: __expr__, model: {refId: B, type: reduce, reducer: last, expression: A}}\n"
    )
    text = (
        GROUP.format(name="a", uid="u", title="t")
        .replace("instant: true", "range: true")
        .replace("condition: A", "condition: C")
    )
    (line,) = told(a_yaml=text + threshold % "A")
    assert (
        "expression: a threshold of A, which gives values over time: set instant: true there, or reduce it first"
        in line
    )
    assert told(a_yaml=text + reduced + threshold % "B") == []
    itself = told(a_yaml=text + threshold % "C")
    assert any("expression: is of itself" in line for line in itself)


def test_a_recorded_series_can_be_asked_for_with_the_labels_that_it_has() -> None:
    record = "{record: 'a:b', expr: 'sum by (model) (rate(llm_tokens_total[5m]))', labels: {kind: x}}"
    fine = '{alert: A, expr: \'a:b{model="m",kind="x"} > 1\'}'
    assert told(a_yml=RULE % f"{fine}, {record}") == []
    (line,) = told(a_yml=RULE % record, b_yml=RULE % "{alert: A, expr: 'a:b{provider=\"p\"} > 1'}")
    assert "b.yml:1: groups[0].rules[0].expr: a:b has no label provider; there are kind, model" in line
    assert told(b_yml=RULE % "{alert: A, expr: 'a:b > 1'}") == [
        "b.yml:1: groups[0].rules[0].expr: there is no metric a:b"
    ]


def test_the_gateways_group_may_have_more_labels() -> None:
    rule = RULE % "{alert: A, expr: 'slo_burn_rate{zone=\"a\"} > 1'}"
    assert len(told(a_yml=rule)) == 1
    assert complaints({"a.yml": rule}, ("job", "zone")) == []


@pytest.mark.parametrize(
    "expr",
    [
        "sum by (slo) (increase(slo_events_total[1h])) > 5",
        "max_over_time(slo_burn_rate[1h]) > 1",
        "label_replace(slo_burn_rate, 'a', '$1', 'slo', '(.*)') * on (a) group_left () vector(1)",
        "slo_sli_ratio < on (slo, service) group_left () slo_objective_ratio",
        "absent(up{job='x'}) or topk(3, slo_burn_rate)",
        "count_values('v', batch_job_state) > 0",
        "histogram_quantile(0.9, sum by (le) (increase(llm_request_duration_seconds_bucket{le=~'.*'}[1h])))",
        "count(slo_events_total) > 3",
        "resets(slo_events_total[1d]) > 0",
        "slo_burn_rate offset 1h > 1 unless ALERTS{alertstate='firing'}",
        "avg_over_time((rate(llm_tokens_total[5m]))[1h:5m]) > 0",
    ],
)  # fmt: skip
def test_what_can_be_meant_is_taken(expr: str) -> None:
    assert told(a_yml=RULE % f'{{alert: A, expr: "{expr}"}}') == []
