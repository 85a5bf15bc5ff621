"""The generated dashboards: what they ask for is what is pushed, and Grafana's own types read them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.console import run
from tests.generate.grafana_types import TABLE, text
from tests.generate.promql import filled
from tests.generate.test_prometheus import SLOS

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore", DeprecationWarning
    )  # it wants a second format of dashboards, which files need not have
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models import units
    from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()
CHOSEN = dict.fromkeys(("batch_job", "operation", "provider", "model", "service"), ".*") | {"slo": "up"}


def generated(directory: Path, document: str = SLOS, *options: str) -> Path:
    """Where `reporter generate grafana` wrote, from this reporter.yaml."""
    (directory / "reporter.yaml").write_text(document)
    done = run(directory, "generate", "grafana", "-o", "out", *options)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return directory / "out"


def dashboards(out: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("dashboards/reporter/*.json"))}


def queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(panel's title, PromQL with variables) of a dashboard."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_each_file_is_one_that_is_taken_and_each_query_asks_for_what_is_exposed(tmp_path: Path) -> None:
    generated(tmp_path)
    assert told(tmp_path) == ""


@pytest.mark.parametrize(("objectives", "decimals"), [((95, 99.9), [1, 2]), ((90,), [0, 2]), ((99.999, 95), [3, 4])])
def test_no_objective_or_sli_reads_100_percent_that_is_less(
    tmp_path: Path, objectives: tuple[float, ...], decimals: list[int]
) -> None:
    slos = [{"name": f"s{goal}", "sli": "availability", "objective": goal} for goal in objectives]
    made = dashboards(generated(tmp_path, f"slos: {json.dumps(slos)}\n"))
    stats = {panel["title"]: panel["fieldConfig"]["defaults"] for panel in made["reporter-slo"]["panels"]}
    assert [stats[title]["decimals"] for title in ("Objective", "SLI, 1d")] == decimals
    (table,) = (panel for panel in made["reporter-overview"]["panels"] if panel["title"] == "SLOs")
    columns = {
        override["matcher"]["options"]: {one["id"]: one["value"] for one in override["properties"]}
        for override in table["fieldConfig"]["overrides"]
    }
    assert [columns[name]["decimals"] for name in ("Objective", "SLI 1d")] == decimals


def told(directory: Path) -> str:
    """What `reporter check` says of what was generated; tests/check has what it says of changes."""
    return run(directory, "check", "out").stderr


def test_what_is_checked_is_what_grafanas_own_types_say() -> None:
    assert TABLE.read_text() == text(), "python -m tests.generate.grafana_types writes it again"


def test_grafanas_own_types_read_dashboards_and_drop_nothing(tmp_path: Path) -> None:
    for uid, dashboard in dashboards(generated(tmp_path)).items():
        read = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(json.dumps(dashboard)))))
        assert sorted(dropped(dashboard, read)) == [], uid


def dropped(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    """Where something of ours is missing from theirs, or another value."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if key in theirs:
                yield from dropped(value, theirs[key], f"{place}.{key}")
            elif value is not None:
                yield f"{place}.{key}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from dropped(mine, other, f"{place}[{index}]")
    elif ours != theirs:
        yield f"{place}: {ours!r} became {theirs!r}"


def test_a_misspelt_key_is_what_the_round_trip_finds(tmp_path: Path) -> None:
    dashboard = dashboards(generated(tmp_path))["reporter-slo"]
    dashboard["panels"][5]["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 1
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(json.dumps(dashboard)))))
    assert list(dropped(dashboard, read)) == [".panels[5].fieldConfig.defaults.custom.lineWidht"]


def test_panels_lie_beside_each_other_and_each_says_what_it_shows(tmp_path: Path) -> None:
    known = {value for name, value in vars(units).items() if not name.startswith("_")}
    for uid, dashboard in dashboards(generated(tmp_path)).items():
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels), uid
        assert len({panel["title"] for panel in panels}) == len(panels), uid
        for panel in panels:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, (uid, panel["title"])
            assert len(panel["description"]) > 20, (uid, panel["title"])
            assert panel["fieldConfig"]["defaults"].get("unit", "short") in known, (uid, panel["title"])
        for one, other in combinations(panels, 2):
            assert not overlap(one["gridPos"], other["gridPos"]), (uid, one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]
    )  # fmt: skip


def uids(out: Path) -> dict[str, set[str]]:
    """All that Grafana knows things by."""
    found: dict[str, set[str]] = {"files": {str(path.relative_to(out)) for path in out.rglob("*.*")}}
    for path in out.glob("dashboards/*/*.json"):
        made = json.loads(path.read_text())
        found.setdefault("dashboards", set()).add(made["uid"])
        found.setdefault("titles", set()).add(made["title"])
        found.setdefault("tags", set()).update(made["tags"])
    for path in out.glob("*/*.yaml"):
        made = yaml.safe_load(path.read_text())
        for provider in made.get("providers", ()):
            found |= {"providers": {provider["name"]}, "folders": {provider["folder"], provider["folderUid"]}}
        for source in made.get("datasources", ()):
            found["sources"] = {source["uid"], source["name"]}
        for group in made.get("groups", ()):
            found.setdefault("rules", set()).update(rule["uid"] for rule in group["rules"])
            found.setdefault("rule folders", set()).add(group["folder"])
    return found


def test_two_reporters_share_nothing_in_one_grafana_and_each_keeps_its_names(tmp_path: Path) -> None:
    made = {}
    for name, grouping in {"default": "", "a": "{job: nightly}", "b": "{job: nightly, instance: '$x/y'}"}.items():
        (tmp_path / name).mkdir()
        document = SLOS if not grouping else f"{SLOS}\npushgateway: {{grouping: {grouping}}}\n"
        made[name] = uids(generated(tmp_path / name, document))
        assert uids(generated(tmp_path / name, document)) == made[name]  # again

    kinds = {"files", "dashboards", "titles", "tags", "providers", "folders", "sources", "rules", "rule folders"}
    for one, other in (("default", "a"), ("default", "b"), ("a", "b")):
        assert made[one].keys() == made[other].keys() == kinds
        assert {kind: made[one][kind] & made[other][kind] for kind in kinds} == {kind: set() for kind in kinds}
    assert made["default"]["dashboards"] == {
        "reporter-overview", "reporter-slo", "reporter-llm-calls", "reporter-cost", "reporter-batch-jobs", "reporter-itself",
    }  # fmt: skip
    assert made["a"]["folders"] >= {"reporter nightly"}
    assert "$" not in "".join(made["b"]["folders"])
    for name in ("a", "b"):
        assert all(len(uid) <= 40 for uid in made[name]["dashboards"] | made[name]["rules"])
        text = "".join(path.read_text() for path in (tmp_path / name).rglob("*.*") if path.suffix in (".json", ".yaml"))
        assert "/d/reporter-slo?" not in text  # links lead to its own


def test_uids_are_unique_short_and_the_files_names_and_links_lead_to_them(tmp_path: Path) -> None:
    found = dashboards(generated(tmp_path))
    assert {uid: made["uid"] for uid, made in found.items()} == {uid: uid for uid in found}
    assert len({made["title"] for made in found.values()}) == len(found) == 6
    assert all(made["id"] is None and "dashboard" not in made for made in found.values())
    assert all([link["tags"] for link in made["links"]] == [["reporter"]] == [made["tags"]] for made in found.values())
    text = json.dumps(found["reporter-overview"])
    assert "/d/reporter-slo?var-slo=" in text


def test_no_query_or_variable_is_left_that_a_dashboard_does_not_define(tmp_path: Path) -> None:
    for uid, dashboard in dashboards(generated(tmp_path)).items():
        defined = {variable["name"]: ".*" for variable in dashboard["templating"]["list"]}
        for _, expr in queries(dashboard):
            filled(expr, **defined)
        assert {target["datasource"]["uid"] for p in dashboard["panels"] for target in p["targets"]} == {
            "${datasource}"
        }, uid


def test_thresholds_are_those_of_the_slos(tmp_path: Path) -> None:
    panels = dashboards(generated(tmp_path))["reporter-llm-calls"]["panels"]
    (latency,) = (panel for panel in panels if panel["title"] == "Latency quantiles")
    steps = latency["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 1.0, 2.5]


def test_labels_that_reports_leave_out_are_in_no_query(tmp_path: Path) -> None:
    document = "report: {labels: [batch_job], windows: [10m, 4h]}\n" + SLOS
    out = generated(tmp_path, document)
    assert told(tmp_path) == ""
    for uid, dashboard in dashboards(out).items():
        for title, expr in queries(dashboard):
            asked = filled(expr, **CHOSEN)
            assert not any(label in asked for label in ("model", "provider", "operation")), f"{uid}, {title}: {asked}"
            assert not any(f'window="{window}"' in asked for window in ("5m", "1h", "1d")), f"{uid}, {title}: {asked}"


def test_the_same_configuration_gives_the_same_bytes_and_says_so(tmp_path: Path) -> None:
    out = generated(tmp_path)
    before = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
    again = run(tmp_path, "generate", "grafana", "-o", "out")
    assert all(line.endswith(" (as it was)") for line in again.stdout.splitlines())
    assert len(again.stdout.splitlines()) == len(before)
    assert {path: path.read_bytes() for path in before} == before


def test_a_dashboard_that_somebody_wrote_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "out" / "dashboards" / "reporter" / "reporter-slo.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}\n")
    done = run(tmp_path, "generate", "grafana", "-o", "out")
    assert (done.returncode, theirs.read_text()) == (2, "{}\n")
    assert "reporter-slo.json: is not a generated file, so it is left alone" in done.stderr


def test_nothing_is_written_where_one_file_is_somebodys_own(tmp_path: Path) -> None:
    theirs = tmp_path / "out" / "dashboards" / "reporter" / "reporter-slo.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")
    done = run(tmp_path, "generate", "grafana", "-o", "out")
    assert done.returncode == 2
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [theirs]


def test_what_is_drawn_point_by_point_adds_up(tmp_path: Path) -> None:
    """A look back that is longer than the step would count each event in several points."""
    found = {title: expr for board in dashboards(generated(tmp_path)).values() for title, expr in queries(board)}
    for title in ("Events", "Latency heatmap", "Time to first token heatmap"):
        assert "[$__rate_interval])) * $__interval_ms / 1000" in found[title], title
    assert not any("increase(" in expr and "$__rate_interval" in expr for expr in found.values())
