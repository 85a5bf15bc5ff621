"""Files of Sloth and OpenSLO: what is taken over, what is asked for, what is refused, each with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from reporter.config import load_config
from tests.cli.console import run

HERE = Path(__file__).parent
PAIRS = sorted(path.name.removeprefix("in-") for path in HERE.glob("in-*.yaml"))


@pytest.mark.parametrize("name", PAIRS)
def test_a_file_becomes_what_stands_beside_it(tmp_path: Path, name: str) -> None:
    kind = name.partition("-")[0]
    (tmp_path / name).write_text((HERE / f"in-{name}").read_text())
    told = run(tmp_path, "import", kind, name)
    expected = yaml.safe_load((HERE / f"out-{name}").read_text())
    assert (told.returncode, yaml.safe_load(told.stdout)) == (0, {"slos": expected["slos"]}), told.stderr
    warnings = [line.removeprefix("reporter: ") for line in told.stderr.splitlines()]
    assert warnings == expected["warnings"]
    (tmp_path / "reporter.yaml").write_text(told.stdout)
    assert len(load_config(tmp_path / "reporter.yaml", {"HOME": str(tmp_path)}).slos) == len(expected["slos"])
    assert run(tmp_path, "check").returncode == 0


SLOTH = """\
version: prometheus/v1
service: shop
slos:
- name: checkout
  objective: 99.9
  sli:
    events:
      error_query: sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))
      total_query: sum(rate(http_requests_total[{{.window}}]))
"""


def test_a_foreign_query_asks_for_a_mapping_and_takes_it(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(SLOTH)
    asked = run(tmp_path, "import", "sloth", "slo.yaml")
    assert (asked.returncode, asked.stdout) == (1, "slos: []\n")
    assert "slo.yaml:6: SLO 'checkout' is left out: its query is not over metrics that reporter pushes" in asked.stderr
    assert "--map 'checkout={latency: {threshold: 2.5s}}'" in asked.stderr
    for meaning, sli in (
        ("{latency: {threshold: 2.5s}}", {"latency": {"threshold": "2.5s"}}),
        ("availability", "availability"),
    ):
        told = run(tmp_path, "import", "sloth", "slo.yaml", "--map", f"checkout={meaning}")
        (slo,) = yaml.safe_load(told.stdout)["slos"]
        assert (told.returncode, slo["sli"]) == (0, sli)
    whole = "checkout={sli: availability, where: {operation: 'POST /checkout'}}"
    (slo,) = yaml.safe_load(run(tmp_path, "import", "sloth", "slo.yaml", "--map", whole).stdout)["slos"]
    assert slo["where"] == {"operation": "POST /checkout"}
    assert run(tmp_path, "import", "sloth", "slo.yaml", "--map", "checkout").returncode == 2
    assert "no such SLO" in run(tmp_path, "import", "sloth", "slo.yaml", "--map", "x=availability").stderr


OPENSLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: chat}
spec:
  service: llm
  indicator:
    metadata: {name: i}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: reporter, spec: {sli: availability}}}
        total: {metricSource: {type: reporter, spec: {sli: availability}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""


@pytest.mark.parametrize(
    ("kind", "before", "after", "line", "why"),
    [
        ("sloth", "prometheus/v1", "prometheus/v9", 1, "is no Sloth file"),
        ("sloth", "service: shop", "service: 7", 2, "service: must be text"),
        ("sloth", "objective: 99.9", "objective: 100", 5, "it leaves no budget"),
        ("sloth", "  objective: 99.9\n", "", 4, "objective: is required"),
        ("sloth", "    events:", "    event:", 6, "must have events, raw or plugin"),
        ("sloth", "slos:\n", "slos: []\nmore:\n", 3, "has no SLO"),
        ("sloth", "- name: checkout", "- name: ''", 4, "name: is required"),
        ("openslo", "openslo/v1", "openslo/v2", 1, "must be openslo/v1"),
        ("openslo", "kind: SLO", "kind: SLA", 2, "kind: must be one of"),
        ("openslo", "metadata: {name: chat}", "metadata: {}", 3, "metadata.name: is required"),
        ("openslo", "duration: 30d", "duration: 1M", 13, "must be like 30d or 4w"),
        ("openslo", "isRolling: true", "isRolling: false", 13, "must be one of 1d, 1w, 1M, 1Q"),
        ("openslo", "target: 0.99", "target: 99", 15, "must be a ratio"),
        ("openslo", "target: 0.99", "target: 1.0", 15, "spec.objectives[0].target: must be percent"),
        ("openslo", "target: 0.99", "op: lte", 15, "must have target, or targetPercent"),
        ("openslo", "Occurrences", "Sometimes", 14, "must be one of Occurrences"),
        ("openslo", "sli: availability}}}\n        total", "sli: availabilty}}}\n        total", 1, "did you mean avail"),
        ("openslo", "  indicator:\n    metadata: {name: i}\n", "  indicatorRef: nowhere\n  x:\n", 6, "no SLI 'nowhere'"),
        ("openslo", "apiVersion", "- apiVersion", 1, "must be a mapping"),
        ("sloth", "version", "\tversion", 1, "is no valid YAML"),
    ],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused_with_its_line_and_field(
    tmp_path: Path, kind: str, before: str, after: str, line: int, why: str
) -> None:
    text = (SLOTH if kind == "sloth" else OPENSLO).replace(before, after, 1)
    if after.startswith("- apiVersion"):
        text = "- a\n"
    (tmp_path / "slo.yaml").write_text(text)
    refused = run(tmp_path, "import", kind, "slo.yaml")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert any(told.startswith((f"reporter: slo.yaml:{line}:", f"slo.yaml:{line}:")) and why in told
               for told in refused.stderr.splitlines()), refused.stderr  # fmt: skip


def test_references_are_followed_from_file_to_file(tmp_path: Path) -> None:
    documents = (HERE / "in-openslo-references.yaml").read_text().split("---\n")
    (tmp_path / "a.yaml").write_text("---\n".join(documents[:3]))
    (tmp_path / "b.yaml").write_text("---\n".join(documents[3:]))
    both = run(tmp_path, "import", "openslo", "b.yaml", "a.yaml")
    assert (both.returncode, both.stdout.count("- name:")) == (0, 2), both.stderr
    alone = run(tmp_path, "import", "openslo", "b.yaml")
    assert (alone.returncode, "there is no SLI 'chat-success' in what was given" in alone.stderr) == (2, True)


def test_what_means_something_else_here_is_told(tmp_path: Path) -> None:
    text = (HERE / "in-openslo-references.yaml").read_text()
    for before, after, told in (
        ("2026-01-01 00:00:00", "2026-01-15 12:30:00", "here a month begins with its first day, at midnight"),
        ("op: gt,", "op: gte,", "is taken as gt"),
        ("service: llm\n", "service: lim\n", "there is no Service 'lim'"),
        ("alertWhenBreaching: true", "alertWhenNoData: true", "`missing: bad` makes silence"),
        ("  ratioMetric:", "  descripton: x\n  ratioMetric:", "spec.descripton: is not taken over"),
    ):
        assert before in text
        (tmp_path / "slo.yaml").write_text(text.replace(before, after))
        done = run(tmp_path, "import", "openslo", "slo.yaml")
        assert (done.returncode, told in done.stderr) == (0, True), done.stderr


def test_a_mapping_of_an_slo_with_several_objectives_is_used(tmp_path: Path) -> None:
    text = (HERE / "in-openslo-references.yaml").read_text().replace("llm_request_duration_seconds_count", "foreign")
    (tmp_path / "slo.yaml").write_text(text)
    done = run(tmp_path, "import", "openslo", "slo.yaml", "--map", "chat=availability")
    assert (done.returncode, "no such SLO" in done.stderr) == (0, False)


def test_what_is_exported_is_imported_by_the_command_as_it_was(tmp_path: Path) -> None:
    slos: list[dict[str, Any]] = [
        {
            "name": "chat",
            "service": "llm",
            "sli": {"latency": {"threshold": "2.5s"}},
            "objective": 95,
            "calendar": "month",
        },
        {"name": "jobs", "service": "batch", "sli": "job_success", "objective": 99, "alerts": []},
    ]
    (tmp_path / "reporter.yaml").write_text(json.dumps({"slos": slos}))
    before = load_config(tmp_path / "reporter.yaml", {"HOME": str(tmp_path)}).slos
    for kind in ("openslo", "sloth"):
        assert run(tmp_path, "export", kind, "-o", f"{kind}.yaml").returncode == 0
        told = run(tmp_path, "import", kind, f"{kind}.yaml", "-o", f"from-{kind}.yaml")
        assert (told.returncode, told.stdout) == (0, "")
        after = load_config(tmp_path / f"from-{kind}.yaml", {"HOME": str(tmp_path)}).slos
        assert after == before
    (tmp_path / "reporter.yaml").write_text("{}")
    assert "has no slos to export" in run(tmp_path, "export", "sloth").stderr


def test_check_reads_specs_strictly_too(tmp_path: Path) -> None:
    (tmp_path / "slo.yaml").write_text(OPENSLO)
    told = run(tmp_path, "check", "slo.yaml")
    assert (told.returncode, told.stdout) == (0, "slo.yaml: fine; OpenSLO, 1 SLO\n")
    (tmp_path / "sloth.yaml").write_text(SLOTH)
    asked = run(tmp_path, "check", "sloth.yaml")
    assert (asked.returncode, "asks for a mapping" in asked.stdout) == (1, True)
    (tmp_path / "slo.yaml").write_text(OPENSLO.replace("0.99", "99"))
    assert "slo.yaml:15: spec.objectives[0].target: must be a ratio" in run(tmp_path, "check", "slo.yaml").stderr
    (tmp_path / "other.yaml").write_text("a: 1\n")
    assert "neither reporter.yaml's, Sloth's nor OpenSLO's" in run(tmp_path, "check", "other.yaml").stderr
    (tmp_path / "own.yaml").write_text("slos: [{name: a, sli: availability, objective: 99}]\n")
    assert run(tmp_path, "check", "own.yaml").stdout.startswith("own.yaml: fine")
