"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_readmes_program_records_and_its_commands_run(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    environment = {**os.environ, "REPORTER_DATABASE_URL": f"sqlite:///{tmp_path}/jobs.db", "CI": ""}
    environment.pop("REPORTER_CONFIG", None)
    subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True, timeout=60)
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (4,)
        assert connection.execute("SELECT status FROM runs").fetchall() == [("success",)]
    connection.close()
    (console,) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    commands = re.findall(r"^\$ reporter (\w+)", console, re.MULTILINE)
    for command in commands:
        arguments = ["push", "--dry-run"] if command == "push" else [command]
        done = subprocess.run(
            [str(Path(sys.executable).parent / "reporter"), *arguments],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (command, done.stderr)
    assert commands == ["init", "check", "report", "push"]
