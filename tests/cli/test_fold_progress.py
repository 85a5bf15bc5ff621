"""A long fold is seen on a terminal, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reporter.store import open_store
from tests.cli.console import run, run_on_terminal

CALLS = 60_000


@pytest.fixture
def backlog(tmp_path: Path) -> str:
    """A database with calls that nobody has folded."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    with open_store(url).write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO calls (call_id, ended_at_ns, operation, status, duration_ns) VALUES (?, ?, 'chat', 'success', 1)",
            [(f"0-{number}", 1_790_000_000 * 10**9 + number) for number in range(CALLS)],
        )
    (tmp_path / "reporter.yaml").write_text("slos: [{name: a, sli: availability, objective: 99}]\n")
    return url


def counted(seen: str, what: str) -> list[int]:
    """The numbers that the bar of `what` went through, each once."""
    told = re.findall(rf"Counting {what} +[━╸╺]+ ([\d,]+) of {CALLS:,} ", re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", seen))
    return list(dict.fromkeys(int(number.replace(",", "")) for number in told))


@pytest.mark.parametrize("command", ["report", "push --dry-run", "prune"])
def test_a_long_fold_shows_how_many_of_all_new_calls_are_counted(tmp_path: Path, backlog: str, command: str) -> None:
    code, seen = run_on_terminal(tmp_path, "--database", backlog, *command.split(), columns=80)

    assert code == 0
    numbers = counted(seen, "new calls")
    assert (numbers[0], numbers[-1]) == (0, CALLS)
    assert numbers == sorted(numbers)
    _, again = run_on_terminal(tmp_path, "--database", backlog, *command.split(), columns=80)
    assert "Counting" not in again


def test_calls_counted_again_for_a_new_slo_are_shown_by_themselves(tmp_path: Path, backlog: str) -> None:
    assert run(tmp_path, "--database", backlog, "report").stderr == ""
    (tmp_path / "reporter.yaml").write_text("slos: [{name: a, sli: p50 < 1s}]\n")

    _, seen = run_on_terminal(tmp_path, "--database", backlog, "report", columns=80)

    numbers = counted(seen, "calls for new SLOs")
    assert (numbers[0], numbers[-1]) == (0, CALLS)
    assert counted(seen, "new calls") == []


def test_no_terminal_no_bar(tmp_path: Path, backlog: str) -> None:
    done = run(tmp_path, "--database", backlog, "report", "--format", "json")

    assert (done.returncode, done.stderr) == (0, "")
