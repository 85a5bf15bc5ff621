"""docs/jobs.md, the README and the example file write jobs as the program reads them, and alerts as Prometheus does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from reporter.config import parse_config
from reporter.metrics import METRICS
from tests.servers import binary

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
HOME = {"HOME": "/home/x"}


def test_the_yaml_of_the_pages_and_of_the_example_file_loads() -> None:
    example = (ROOT / "examples" / "reporter.yaml").read_text(encoding="utf-8")
    (commented,) = re.findall(r"^# (jobs:.*\n(?:#   .*\n)+)", example, re.MULTILINE)
    blocks = re.findall(r"```yaml\n(jobs:.*?)```", PAGE + (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for block in (*blocks, commented.replace("\n# ", "\n")):
        config = parse_config(block, "a page", HOME)
        assert any(job.schedule for job in config.expected.values())


def test_prometheus_takes_the_alerts_of_the_page_and_they_are_on_metrics_there_are(tmp_path: Path) -> None:
    (alerts,) = re.findall(r"```yaml\n(- alert:.*?)```", PAGE, re.DOTALL)
    rules = tmp_path / "rules.yaml"
    rules.write_text("groups:\n  - name: jobs\n    rules:\n" + re.sub("^", "      ", alerts, flags=re.MULTILINE))
    done = subprocess.run([binary("promtool", "prometheus"), "check", "rules", rules], capture_output=True, text=True)
    assert (done.returncode, "1 rules found" in done.stdout) == (0, True), done.stderr
    named = set(re.findall(r"batch_job_\w+", PAGE))
    assert named - {metric.name for metric in METRICS} == set()
