"""What Grafana's own pages write, and what stands beside our part in other people's configurations, is taken."""

from __future__ import annotations

import json
from typing import Any

from tests.check.files import complaints

ALERT = """
apiVersion: 1
groups:
  - orgId: 1
    name: by hand
    folder: reporter
    interval: 10s
    rules:
      - uid: ce8x0v1abcdef
        title: Burning
        condition: C
        data:
          - refId: A
            relativeTimeRange: {from: 600, to: 0}
            datasourceUid: prometheus
            model:
              adhocFilters: []
              datasource: {type: prometheus, uid: prometheus}
              disableTextWrap: false
              editorMode: code
              expr: max by (slo) (slo_burn_rate{window="1h"})
              fullMetaSearch: false
              includeNullMetadata: true
              instant: false
              intervalMs: 1000
              legendFormat: __auto
              maxDataPoints: 43200
              range: true
              refId: A
              useBackend: false
          - refId: B
            datasourceUid: __expr__
            model:
              conditions:
                - evaluator: {params: [0, 0], type: gt}
                  operator: {type: and}
                  query: {params: []}
                  reducer: {params: [], type: avg}
                  type: query
              datasource: {name: Expression, type: __expr__, uid: __expr__}
              expression: A
              hide: false
              intervalMs: 1000
              maxDataPoints: 43200
              reducer: last
              refId: B
              settings: {mode: dropNN}
              type: reduce
          - refId: C
            datasourceUid: __expr__
            model:
              conditions:
                - evaluator: {params: [14.4], type: gt}
                  operator: {type: and}
                  query: {params: [C]}
                  reducer: {params: [], type: last}
                  type: query
              datasource: {type: __expr__, uid: __expr__}
              expression: B
              intervalMs: 1000
              maxDataPoints: 43200
              refId: C
              type: threshold
        noDataState: NoData
        execErrState: Error
        for: 1m
        keepFiringFor: 30s
        annotations:
          description: '{{ range $name, $value := $values }}{{ $name }}={{ $value.Value }} {{ end -}} of {{ $labels.slo }}'
          summary: '{{ if gt $values.B.Value 100.0 }}very{{ else }}a little{{ end }} {{/* sic */}} fast, for $5'
        labels: {severity: critical}
        isPaused: false
        notification_settings: {receiver: grafana-default-email}
"""

RULES = """
groups:
  - name: theirs
    interval: 30s
    limit: 10
    labels: {team: ml}
    rules:
      - alert: Slow
        expr: |
          max by (slo) (slo_burn_rate{window="1h"}) > 14.4
            and on () (time() - max(reporter_as_of_timestamp_seconds) < 300)
        for: 1h30m
        keep_firing_for: 5m
        annotations:
          all: '{{ range query "slo_burn_rate > 1" }}{{ .Labels.slo }}: {{ .Value | humanize }}{{ end }}'
          some: '{{ with printf "slo_burn_rate{slo=%q}" $labels.slo | query }}{{ . | first | value }}{{ end }}'
          where: '{{ $externalLabels.dc }}'
"""

CONFIG = """
global: {scrape_interval: 30s, external_labels: {dc: a}}
scrape_configs:
  - job_name: nodes
    kubernetes_sd_configs: [{role: node}]
    bearer_token_file: /var/run/token
    relabel_configs: [{source_labels: [__address__], regex: '(.*):10250', replacement: '${1}:9100', target_label: __address__}]
  - job_name: gateway
    honor_labels: true
    static_configs: [{targets: ['[::1]:9091']}]
remote_write: [{url: 'https://example.org/'}]
"""


def told(**texts: str) -> list[str]:
    return list(map(str, complaints({name.replace("_", "."): text for name, text in texts.items()})))


def test_alerts_that_grafana_exported_are_taken() -> None:
    assert told(a_yaml=ALERT) == []


def test_rules_and_configurations_with_more_in_them_are_taken() -> None:
    assert told(a_yml=RULES, b_yml=CONFIG) == []


def panel(number: int, x: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "type": "timeseries", "title": "Burn", "gridPos": {"x": x, "y": 1, "w": 12, "h": 8}, **more}


def test_a_dashboard_that_grafana_saved_is_taken() -> None:
    source = {"type": "prometheus", "uid": "${ds}"}
    steps = [{"color": "green", "value": 0}, {"color": "red", "value": 80}]
    target = {
        "refId": "A",
        "datasource": source,
        "editorMode": "code",
        "legendFormat": "{{slo}}",
        "range": True,
        "exemplar": False,
    }
    board = {
        "annotations": {"list": [{
            "builtIn": 1, "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "enable": True, "hide": True,
            "iconColor": "rgba(0, 211, 255, 1)", "name": "Annotations & Alerts", "type": "dashboard",
            "target": {"limit": 100, "matchAny": False, "tags": [], "type": "dashboard"},
        }]},
        "editable": True, "fiscalYearStartMonth": 0, "graphTooltip": 0, "id": None, "links": [], "liveNow": False,
        "uid": "theirs", "title": "Theirs", "schemaVersion": 41, "version": 7, "weekStart": "", "refresh": "",
        "tags": [], "timepicker": {},
        "time": {"from": "now/d", "to": "now"}, "timezone": "", "preload": False,
        "templating": {"list": [
            {"name": "ds", "type": "datasource", "query": "prometheus", "regex": "", "refresh": 1, "options": [],
             "current": {"selected": False, "text": "a", "value": "a"}, "includeAll": False, "multi": False, "hide": 0},
            {"name": "slo", "type": "query", "datasource": source, "options": [],
             "definition": "label_values(slo_sli_ratio,slo)",
             "query": {"qryType": 1, "query": "label_values(slo_sli_ratio,slo)", "refId": "x"}, "current": {}, "refresh": 1},
            {"name": "span", "type": "interval", "query": "5m,1h", "auto": False, "auto_count": 30, "auto_min": "10s",
             "current": {"text": "5m", "value": "5m"}, "options": [{"selected": True, "text": "5m", "value": "5m"}]},
            {"name": "top", "type": "textbox", "query": "3", "current": {"text": "3", "value": "3"}},
        ]},
        "panels": [
            {"id": 9, "type": "row", "title": "A row", "collapsed": True, "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1},
             "panels": [
                panel(3, 0, targets=[{**target, "expr": "sum(rate(llm_tokens_total[$span]))", "legendFormat": "all"}]),
            ]},
            panel(1, 0, datasource=source, pluginVersion="12.0.0", repeat="slo", repeatDirection="h", maxPerRow=2,
                  targets=[{**target, "expr": 'topk($top, slo_burn_rate{slo=~"${slo:regex}", window="1h"})'}],
                  fieldConfig={"defaults": {"unit": "suffix:x", "thresholds": {"mode": "absolute", "steps": steps}},
                               "overrides": [
                      {"__systemRef": "hideSeriesFrom",
                       "matcher": {"id": "byNames", "options": {"mode": "exclude", "names": ["a"]}},
                       "properties": [{"id": "custom.hideFrom", "value": {"legend": False, "tooltip": False}}]}]}),
            panel(2, 12, targets=[{**target, "expr": "max by ($slo) (slo_sli_ratio)", "legendFormat": ""}]),
            {"id": 4, "type": "grafana-clock-panel", "gridPos": {"x": 0, "y": 9, "w": 3, "h": 3}, "options": {"anything": 1}},
        ],
    }  # fmt: skip
    assert told(a_json=json.dumps(board)) == []
