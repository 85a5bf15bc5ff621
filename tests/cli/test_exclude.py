"""`reporter exclude`: what is left out is told, and removing it restores every number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reporter.store import open_store
from tests.cli.console import run
from tests.publish.pushing import bring_in
from tests.report.test_slo_methods import AS_OF, at, facts

SLOS = [
    {"name": "chat", "sli": "availability", "objective": 90, "period": "7d"},
    {
        "name": "sliced", "sli": "availability", "objective": 90, "period": "7d", "method": "ratio_timeslices",
        "timeslice": "5m",
    },
    {"name": "runs", "sli": "job_success", "objective": 90, "calendar": "month"},
]  # fmt: skip
SPAN = ("--from", at(AS_OF - 3000), "--to", at(AS_OF - 500))


def reported(directory: Path) -> dict[str, Any]:
    told = run(directory, "report", "--format", "json", "--as-of", at(AS_OF))
    assert told.returncode == 0, told.stderr
    answer: dict[str, Any] = json.loads(told.stdout)
    return answer


def test_an_exclusion_changes_the_past_and_removing_it_restores_every_number(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(json.dumps({"database": database_url, "slos": SLOS}))
    calls, runs = facts(8)
    bring_in(open_store(database_url), tmp_path, [*calls, *runs])
    before = reported(tmp_path)
    added = run(tmp_path, "exclude", "add", *SPAN, "--slo", "chat", "--slo", "sl*", "--reason", "provider\nmaintenance")
    assert added.returncode == 0, added.stderr
    name = added.stdout.partition(":")[0]

    between = reported(tmp_path)
    for was, now in zip(before["slos"], between["slos"], strict=True):
        assert (was["windows"]["7d"] == now["windows"]["7d"]) == (was["slo"] == "runs")
        assert was["windows"]["5m"] == now["windows"]["5m"]
    assert [(x["exclusion"], x["slos"], x["reason"]) for x in between["exclusions"]] == [
        (name, ["chat", "sl*"], "provider maintenance")
    ]
    listed = run(tmp_path, "exclude", "list", "--format", "json")
    assert [row["exclusion"] for row in json.loads(listed.stdout)] == [name]
    assert "left out: " in run(tmp_path, "report", "--as-of", at(AS_OF)).stdout

    assert run(tmp_path, "exclude", "remove", name).returncode == 0
    assert reported(tmp_path) == before
    assert run(tmp_path, "exclude", "remove", name).returncode == 2


def test_a_senseless_exclusion_is_refused_and_a_strange_one_warned_of(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(json.dumps({"slos": SLOS}))
    backwards = run(tmp_path, "exclude", "add", "--from", at(2), "--to", at(1), "--reason", "x")
    assert (backwards.returncode, "must be later than --from" in backwards.stderr) == (2, True)
    assert run(tmp_path, "exclude", "add", "--from", "yesterday", "--to", at(1), "--reason", "x").returncode == 2
    assert run(tmp_path, "exclude", "add", "--from", at(1), "--to", at(2), "--reason", " ").returncode == 2
    strange = run(tmp_path, "exclude", "add", *SPAN, "--slo", "chta", "--reason", "x")
    assert (strange.returncode, "'chta' is no SLO of now: chat, sliced, runs" in strange.stderr) == (0, True)
