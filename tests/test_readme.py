"""What the README and the pages show is what happens."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from reporter.views import VIEWS
from tests.cli.console import environment, run
from tests.servers import Server, binary

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A directory in which the README's program has run."""
    (program,) = blocks(README, "python")
    subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60,
        env=environment(tmp_path, REPORTER_DATABASE_URL=f"sqlite:///{tmp_path}/jobs.db"),
    )  # fmt: skip
    return tmp_path


def test_the_readmes_program_records(recorded: Path) -> None:
    with closing(sqlite3.connect(recorded / "jobs.db")) as connection:
        assert connection.execute("SELECT operation, count(*), sum(input_tokens) FROM calls GROUP BY 1").fetchall() == [
            ("chat", 2, 2000), ("embed", 2, None)
        ]  # fmt: skip
        assert connection.execute("SELECT status FROM runs").fetchall() == [("success",)]


def test_the_readmes_commands_run_and_its_tables_are_what_they_print(recorded: Path, pushgateway: Server) -> None:
    demo, _, console, _ = blocks(README, "console")
    assert demo == "$ make demo\n"
    commands = re.findall(r"^\$ reporter (\w+)", console, re.MULTILINE)
    assert commands == ["init", "check", "report", "push"]

    printed = {}
    for command in commands:
        done = run(recorded, command, REPORTER_DATABASE_URL=f"sqlite:///{recorded}/jobs.db")
        assert done.returncode == 0, done.stderr
        printed[command] = done.stdout
        if command == "init":
            text = (recorded / "reporter.yaml").read_text()
            (recorded / "reporter.yaml").write_text(text.replace("http://localhost:9091", pushgateway.url))

    (shown,) = blocks(README, "text")
    ours = {" ".join(line.split()) for line in printed["report"].splitlines()}
    for line in shown.splitlines():
        if line.startswith(("SLO", "Burn", "1 uses")):
            assert " ".join(line.split()) in ours
    for _, option in re.findall(r"^\$ reporter (\w+) .*?--(format json|as-of \S+|dry-run)", console, re.MULTILINE):
        command = "push" if option == "dry-run" else "report"
        again = run(recorded, command, *f"--{option}".split(), REPORTER_DATABASE_URL=f"sqlite:///{recorded}/jobs.db")
        assert again.returncode == 0, again.stderr


def test_the_readmes_job_in_another_language_is_a_run(recorded: Path) -> None:
    _, any_command, *_ = blocks(README, "console")
    (recorded / "export.sh").write_text('#!/bin/sh\necho "$@"\n')
    (recorded / "export.sh").chmod(0o755)
    arguments = any_command.removeprefix("$ reporter ").split()
    done = run(recorded, *arguments, REPORTER_DATABASE_URL=f"sqlite:///{recorded}/jobs.db")
    assert (done.returncode, done.stdout) == (0, "--all\n")


def test_the_readmes_question_is_answered(recorded: Path) -> None:
    run(recorded, "--database", "sqlite:///jobs.db", "report")
    (question,) = blocks(README, "sql")

    with closing(sqlite3.connect(recorded / "jobs.db")) as connection:
        answer = connection.execute(question).fetchall()

    assert [(model, calls, errors) for model, calls, errors, *_ in answer] == [
        ("gpt-4o", 2, 0), ("text-embedding-3-small", 2, 0)
    ]  # fmt: skip
    assert answer[0][3] > 0
    assert set(re.findall(r"`(v_\w+)`", README)) <= VIEWS.keys()


def test_the_readmes_rules_are_what_promtool_takes(recorded: Path) -> None:
    *_, generated = blocks(README, "console")
    run(recorded, "init")
    for arguments in re.findall(r"^\$ reporter (.*?) *#", generated, re.MULTILINE):
        done = run(recorded, *arguments.split())
        assert (done.returncode, done.stderr) == (0, "")
    promtool = binary("promtool", "prometheus")
    for check in (["check", "config", "prometheus.yml"], ["test", "rules", "reporter.rules.test.yml"]):
        checked = subprocess.run(
            [promtool, *check], cwd=recorded / "prometheus", capture_output=True, text=True, check=False, timeout=300
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_line_of_the_json_lines_page_is_a_fact(tmp_path: Path) -> None:
    (lines,) = blocks((ROOT / "docs" / "jsonl.md").read_text(), "json")
    (tmp_path / "facts.jsonl").write_text(lines)

    first = run(tmp_path, "ingest", "facts.jsonl")
    told = run(tmp_path, "report", "--as-of", "2026-11-01T02:11:00Z", "--format", "json")

    assert (first.returncode, first.stdout) == (0, "facts.jsonl: 4 lines, 0 bad\n")
    calls = json.loads(told.stdout)["calls"]
    assert sum(row["windows"]["30m"]["calls"] for row in calls) >= 2


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
