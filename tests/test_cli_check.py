"""`reporter check` and `reporter init`, as a person runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REPORTER_", "XDG_"))}
    return subprocess.run(
        [sys.executable, "-c", "from reporter.cli import main; main()", *arguments],
        cwd=directory,
        env=kept | {"HOME": str(directory), "PYTHONPATH": str(ROOT)} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_init_writes_a_file_that_check_understands(tmp_path: Path) -> None:
    made = run(tmp_path, "init")
    assert (made.returncode, made.stderr) == (0, "")
    assert "reporter check" in made.stdout
    assert (tmp_path / "reporter.yaml").read_bytes() == (ROOT / "examples" / "reporter.yaml").read_bytes()
    assert os.listdir(tmp_path) == ["reporter.yaml"]
    checked = run(tmp_path, "check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "gold-availability" in checked.stdout
    assert "page   1h/5m > 14.4, 6h/30m > 6" in checked.stdout
    assert "left out 1h/5m: factor 14.4 can never be exceeded" in checked.stdout


def test_init_keeps_the_file_that_is_there_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "reporter.yaml"
    file.write_text("slos: []\n", encoding="utf-8")
    refused = run(tmp_path, "init")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--force" in refused.stderr
    assert file.read_text(encoding="utf-8") == "slos: []\n"
    assert run(tmp_path, "init", "--force").returncode == 0
    assert "gold-latency" in file.read_text(encoding="utf-8")


def test_init_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    refused = run(tmp_path, "init", "nowhere/reporter.yaml")
    assert refused.returncode == 2
    assert "nowhere/reporter.yaml: can't be written: No such file or directory" in refused.stderr


def test_check_without_a_file_shows_the_defaults(tmp_path: Path) -> None:
    checked = run(tmp_path, "check")
    assert checked.returncode == 0
    assert "no reporter.yaml found" in checked.stdout
    assert f"sqlite:///{tmp_path}/.local/state/reporter/reporter.db" in checked.stdout
    assert os.listdir(tmp_path) == []


def test_check_tells_every_mistake_and_exits_2(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(
        "report: {windows: [0m]}\nslos:\n  - name: a\n    sli: availability\n    objective: 100\n", encoding="utf-8"
    )
    checked = run(tmp_path, "check")
    assert (checked.returncode, checked.stdout) == (2, "")
    assert "reporter.yaml:1: report.windows[0]: must be longer than 0" in checked.stderr
    assert "reporter.yaml:5: slos[0].objective: must be percent between 0 and 100" in checked.stderr
    assert os.listdir(tmp_path) == ["reporter.yaml"]


def test_check_as_json_has_no_secret_and_keeps_brackets_in_names(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(
        "database: postgresql://u:canary@host/db\n"
        "pushgateway: {username: u, password: canary}\n"
        "slos: [{name: '[bold]a', sli: p95 < 2.5s}]\n"
        "budgets: [{name: m, usd: 5, calendar: month}]\n",
        encoding="utf-8",
    )
    checked = run(tmp_path, "check", "--format", "json")
    understood = json.loads(checked.stdout)
    assert (understood["database"], understood["slos"][0]["slo"]) == ("postgresql://u:***@host/db", "[bold]a")
    assert (checked.stderr, understood["unsupported"]) == ("", [])
    table = run(tmp_path, "check")
    assert "[bold]a" in table.stdout
    assert "canary" not in checked.stdout + checked.stderr + table.stdout + table.stderr


def test_check_misses_a_secret_file_before_the_push_does(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text("pushgateway: {bearer_token_file: token}\n", encoding="utf-8")
    checked = run(tmp_path, "check")
    assert checked.returncode == 2
    assert "token: can't be read as pushgateway.bearer_token_file" in checked.stderr


def test_check_tells_what_else_decides_counts_and_alerts(tmp_path: Path) -> None:
    slo = '{name: a, sli: availability, objective: 99, min_bad_events: 5, exclude_error_types: ["400", "422"]}'
    (tmp_path / "reporter.yaml").write_text(f"slos: [{slo}]\n", encoding="utf-8")
    shown = run(tmp_path, "check").stdout
    assert "  without error types 400, 422\n" in shown
    assert "  alerts need 5 bad events in their long window\n" in shown


def test_a_list_of_which_all_is_wrong_is_not_called_empty(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text("report: {windows: [90s]}\n", encoding="utf-8")
    (told,) = run(tmp_path, "check").stderr.splitlines()
    assert "report.windows[0]: must be whole minutes" in told


def test_check_tells_what_budgets_are_of_and_which_alerts_they_go_without(tmp_path: Path) -> None:
    budgets = "budgets: [{name: m, usd: 500.50, calendar: month, timezone: Europe/Berlin, where: {model: gpt-*}}]\n"
    (tmp_path / "reporter.yaml").write_text(budgets, encoding="utf-8")
    shown = run(tmp_path, "check").stdout
    assert "m  cost budget\n  500.5 USD within month Europe/Berlin, where model=gpt-*\n" in shown
    assert "  page   6h/30m > 6\n  ticket 1d/2h > 3, 3d/6h > 1\n" in shown
    left_out = "left out 1h/5m: a job that spends its day's share of the budget at once would set it off every day"
    assert left_out in " ".join(shown.split())
    (understood,) = json.loads(run(tmp_path, "check", "--format", "json").stdout)["budgets"]
    assert (understood["budget"], understood["usd"], understood["period"]) == ("m", 500.5, "month Europe/Berlin")
    assert [alert["factor"] for alert in understood["alerts"]] == [6, 3, 1]


def test_check_tells_what_is_expected_of_jobs(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(
        "jobs:\n"
        "  nightly: {schedule: '0 3 * * *', timezone: Europe/Berlin, start_grace: 10m, max_duration: 2h}\n"
        "  sync: {schedule: every 15m, min_duration: 2s, max_concurrent: 1}\n",
        encoding="utf-8",
    )
    shown = run(tmp_path, "check").stdout
    assert "nightly  job\n  due 0 3 * * * Europe/Berlin, next 20" in shown
    assert "; missed when not started 10m later\n  lost when it runs for 2h, too slow when it ends after all\n" in shown
    assert (
        "sync  job\n  due every 15m; missed when not started 5m later\n  too fast when it succeeds before 2s\n" in shown
    )
    assert "  overlaps when it starts while 1 or more of it run\n" in shown
    nightly, sync = json.loads(run(tmp_path, "check", "--format", "json").stdout)["jobs"]
    assert (nightly["schedule"], nightly["next_run_at"][13:]) in {("0 3 * * * Europe/Berlin", ":00:00Z")}
    assert (sync["schedule"], sync["next_run_at"], sync["max_concurrent"]) == ("every 15m", None, 1)


def test_check_tells_every_mistake_in_jobs_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text(
        "jobs:\n  a: {schedule: 0 0 30 2 *}\n  d: {schedule: '@daily', timezone: Mars}\n  c: {schedule: 61 * * * *}\n"
        "  d: {max_duration: 1h}\n  b: {schedule: daily, timezone: Mars}\n",
        encoding="utf-8",
    )
    checked = run(tmp_path, "check")
    assert (checked.returncode, checked.stdout) == (2, "")
    told = [line.rpartition("reporter.yaml:")[2] for line in checked.stderr.splitlines()]
    assert [line.partition(";")[0][:60] for line in told] == [
        "2: jobs.a.schedule: never comes: within 50 years no day is '0 0 30 2 *'"[:60],
        "4: jobs.c.schedule: has '61' for its minute: must be 0-59, *, a-b, */n, or such by commas"[:60],
        "5: jobs.d: is there twice",
        "6: jobs.b.timezone: 'Mars' is no time zone known here",
    ]


def test_a_price_catalogue_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "reporter.yaml").write_text("price_catalogue: prices.json\n")
    missing = run(tmp_path, "check")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "prices.json: No such file or directory; `reporter prices update --to` writes one" in missing.stderr
    (tmp_path / "prices.json").write_text('{"gpt-4o": 1}')
    wrong = run(tmp_path, "check")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "prices.json: is no price catalogue of genai-prices" in wrong.stderr
