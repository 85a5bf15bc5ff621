"""The table says what there is: money of all calls, every window of every SLO, goals as they were written."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import time
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from tests.cli.console import SCRIPT, environment, run


def told(directory: Path, *calls: dict[str, Any], config: str = "") -> str:
    """What `reporter report` prints about calls of just now."""
    lines = [
        {"kind": "call", "operation": "a", "call_id": f"0-{number}", "ended_at_ns": time.time_ns(), **call}
        for number, call in enumerate(calls)
    ]
    (directory / "calls.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (directory / "reporter.yaml").write_text(config)
    assert run(directory, "ingest", "calls.jsonl").returncode == 0
    done = run(directory, "report")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_known_money_of_calls_without_a_model_is_in_the_table_and_its_sum(tmp_path: Path) -> None:
    shown = told(tmp_path, {"cost_usd": "0.5"}, {"operation": "free"}, {"operation": "chat", "model": "ours"})
    assert re.search(r"^a +1 .* 0\.5000 *$", shown, re.M)
    assert re.search(r"^free +1 .* – *$", shown, re.M)
    assert re.search(r"^chat · ours +1 .* \? *$", shown, re.M)
    assert "Together 0.50 USD; 1 call has no price (+, ?) and is not in it." in shown


def test_the_burn_rates_have_every_window_of_every_slo(tmp_path: Path) -> None:
    slos = "slos: [{name: a, sli: p95 < 1s}, {name: b, sli: p95 < 1s, period: 1h}, {name: c, sli: p95 < 1s, period: 14d}]\n"
    shown = told(tmp_path, {}, config="report: {windows: [5m]}\n" + slos)
    header = next(line for line in shown.splitlines() if line.split()[:2] == ["SLO", "5m"])
    assert header.split() == ["SLO", "5m", "30m", "1h", "2h", "6h", "1d", "3d", "14d", "30d"]


def test_a_goal_near_a_hundred_percent_is_not_a_hundred(tmp_path: Path) -> None:
    slos = "slos: [{name: a, sli: availability, objective: 99.99999}, {name: b, sli: availability, objective: 99.90}]\n"
    shown = told(tmp_path, {}, config=slos)
    assert re.search(r"^a +99\.99999 % +30d", shown, re.M)
    assert re.search(r"^b +99\.9 % +30d", shown, re.M)


def test_more_windows_than_fit_go_into_a_second_table(tmp_path: Path) -> None:
    slos = "slos: [{name: a, sli: p95 < 1s, period: 14d}, {name: b, sli: p95 < 1s, period: 10d}]\n"
    told(tmp_path, {}, config=slos)
    shown = run(tmp_path, "report", COLUMNS="80").stdout
    headers = [line.split()[1:] for line in shown.splitlines() if line.split()[:1] == ["SLO"] and "goal" not in line]
    assert headers == [["5m", "30m", "1h", "2h", "6h", "1d", "3d", "7d", "10d"], ["14d", "30d"]]
    assert max(map(len, shown.splitlines())) <= 80


def test_csv_has_the_calls_of_the_json_report_line_by_line(tmp_path: Path) -> None:
    lines = [
        {"cost_usd": "0.1"},
        {"operation": 'a "b", c\nd', "model": "ours"},
        {"duration_seconds": 1.5, "provider": "x"},
    ]
    told(tmp_path, *lines, config="report: {windows: [5m, 1h]}\n")
    as_of = ("--as-of", datetime.now(UTC).isoformat())
    document = json.loads(run(tmp_path, "report", "--format", "json", *as_of).stdout)
    rows = list(csv.DictReader(StringIO(run(tmp_path, "report", "--format", "csv", *as_of).stdout, newline="")))
    expected = [
        {**{name: row[name] for name in row if name != "windows"}, "window": label, **flat(window)}
        for row in document["calls"] for label, window in row["windows"].items()
    ]  # fmt: skip
    assert len(rows) == 6
    assert rows == [{name: text_of(value) for name, value in row.items()} for row in expected]
    some = run(tmp_path, "report", "--format", "csv", "--window", "1h", *as_of).stdout
    assert list(csv.DictReader(StringIO(some, newline=""))) == [row for row in rows if row["window"] == "1h"]


def flat(window: dict[str, Any]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, value in window.items():
        numbers |= {f"{name}_{part}": one for part, one in value.items()} if isinstance(value, dict) else {name: value}
    return numbers


def text_of(value: float | str | None) -> str:
    return "" if value is None else "0" if value == 0 else str(value)


def test_no_name_is_a_formula_to_a_spreadsheet(tmp_path: Path) -> None:
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a=1"]
    told(tmp_path, *({"operation": name} for name in names), config="report: {windows: [1h]}\n")
    rows = csv.DictReader(StringIO(run_raw(tmp_path, "report", "--format", "csv"), newline=""))
    assert sorted(row["operation"] for row in rows) == sorted(["a=1", *(f"'{name}" for name in names[:-1])])


def run_raw(directory: Path, *arguments: str) -> str:
    """Output with its line ends as they are."""
    done = subprocess.run(
        [SCRIPT, *arguments], cwd=directory, env=environment(directory), capture_output=True, check=True
    )
    return done.stdout.decode()
