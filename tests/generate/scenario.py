"""What rules do over some minutes of made-up series, as promtool sees it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from tests.servers import binary


def firing(
    rules: Sequence[Path], series: Mapping[str, str], minutes: Sequence[int], by: str = "alertname", of: str = ""
) -> dict[int, list[str]]:
    """By minute, the labels `by` of alerts (matching `of`) that fire; `series` are values a minute as promtool writes them."""
    asked = f'count by ({by}) (ALERTS{{alertstate="firing"{"," * bool(of)}{of}}})'
    impossible = [{"labels": "impossible", "value": 1}]  # so that it says what there is instead
    document = {
        "rule_files": [str(path) for path in rules],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {"expr": asked, "eval_time": f"{minute}m", "exp_samples": impossible} for minute in minutes
                ],
            }
        ],
    }
    test = rules[0].parent / "scenario.test.yml"
    test.write_text(yaml.safe_dump(document))
    promtool = [binary("promtool", "prometheus"), "test", "rules", str(test)]
    told = subprocess.run(promtool, capture_output=True, text=True, check=False)
    found: dict[int, list[str]] = {}
    minute = -1
    for line in (told.stdout + told.stderr).splitlines():
        if "time: " in line:
            minute = _minutes(line.rpartition("time: ")[2].rstrip(","))
        elif line.strip().startswith("got: "):
            said = line.strip().removeprefix("got: ")
            found[minute] = [] if said == "nil" else sorted(part.lstrip(", ") for part in said.split(" 1E+00") if part)
    assert sorted(found) == sorted(minutes), told.stdout + told.stderr
    return found


def _minutes(text: str) -> int:
    hours, _, rest = text.rpartition("h")
    return int(hours or 0) * 60 + int(rest.partition("m")[0] if "m" in rest else 0)
