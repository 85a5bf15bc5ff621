"""The table says what there is: money of all calls, every window of every SLO, goals as they were written."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from tests.cli.console import run


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
