"""The wheel, built and installed as a stranger would: without extras it records, with them it reports."""

from __future__ import annotations

import ast
import re
import sqlite3
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from contextlib import closing
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.cli.console import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a fresh environment with the wheel and nothing else."""
    fresh = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(fresh)], check=True, timeout=120)
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(fresh / "bin" / "python"),
        "install",
        "--quiet",
        "--no-index",
    ]
    subprocess.run([*install, str(wheel)], check=True, timeout=120)  # no index: it has no dependency to ask for
    return fresh / "bin"


@pytest.fixture
def full(bare: Path) -> Path:
    """The same environment, with the packages of the extras in its reach."""
    (site,) = bare.parent.glob("lib/python*/site-packages")
    (site / "extras.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bare


def test_the_wheel_holds_migrations_the_starter_and_its_types(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    for needed in (
        "reporter/migrations/env.py", "reporter/migrations/versions/0001_facts_tallies_state.py",
        "reporter/config/starter.yaml", "reporter/py.typed",
    ):  # fmt: skip
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests", "migrations"))]


def test_without_extras_it_records_and_says_what_reporting_needs(bare: Path, tmp_path: Path) -> None:
    lines = (
        "import reporter",
        "@reporter.call('chat', model='gpt-4o')",
        "def ask(): return 7",
        "assert ask() == 7",
        "print(reporter.__file__)",
    )
    program = "\n".join(lines)
    done = subprocess.run(
        [bare / "python", "-I", "-c", program], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert str(bare.parent) in done.stdout
    (database,) = tmp_path.rglob("reporter.db")
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT operation, status FROM calls").fetchall() == [("chat", "success")]

    for arguments in ([], ["report"], ["--help"]):
        told = subprocess.run(
            [bare / "reporter", *arguments], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert (told.returncode, told.stdout) == (2, "")
        assert told.stderr == "reporter: click is not installed; for this: pip install 'reporter[report]'\n"


def test_with_extras_every_command_works_outside_the_checkout(full: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        done = subprocess.run(
            [full / "reporter", *arguments], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), arguments
        return done.stdout

    (tmp_path / "empty.db").touch()
    assert "wrote reporter.yaml" in run("init")
    assert "reporter.yaml: fine" in run("check")
    assert run("--database", "sqlite:///empty.db", "db", "upgrade") == "at 0001\n"
    assert run("--database", "sqlite:///empty.db", "db", "check") == "the database is as it should be\n"
    assert "gold-availability" in run("--database", "sqlite:///empty.db", "report")
    assert "slo_objective_ratio" in run("--database", "sqlite:///empty.db", "push", "--dry-run")


def test_what_is_imported_is_declared() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    declared = {re.split(r"[\[>=<]", wanted)[0].lower() for extra in ("report", "postgres") for wanted in extras[extra]}
    distributions = packages_distributions()
    used = set()
    for path in (ROOT / "reporter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            used |= {module.partition(".")[0] for module in modules}
    foreign = used - sys.stdlib_module_names - {"reporter", "_signal"}
    foreign -= {"pydantic_core"}  # pydantic's own half, pinned by it

    assert {distributions[module][0].lower().replace("_", "-") for module in foreign} <= declared
