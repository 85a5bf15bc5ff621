"""What `make` does on a machine that has nothing yet, acted out with a PATH that hides what is here."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "servers"
SERVERS = ("postgresql", "prometheus", "prometheus-pushgateway", "prometheus-alertmanager", "cron")
APT_GET = """#!/bin/sh
echo "$@" >>"$LOG"
[ -e "$POLICY" ] && sh "$POLICY" || echo "services: $?" >>"$LOG"
{then}
"""
INSTALL = """case "$*" in *install*)
for program in prometheus prometheus-pushgateway prometheus-alertmanager crontab; do ln -s /bin/true "$BIN/$program"; done
mkdir -p "$POSTGRESQL/15/bin" && touch "$POSTGRESQL/15/bin/postgres";; esac"""


class Machine:
    """A machine with a shell and little else."""

    def __init__(self, directory: Path, *, root: bool, apt_get: str | None) -> None:
        self.bin, self.log, self.policy = directory / "bin", directory / "apt.log", directory / "policy-rc.d"
        self.postgresql = directory / "postgresql"
        self.bin.mkdir()
        for tool in ("sh", "ls", "chmod", "rm", "cat", "mkdir", "touch", "ln"):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self._program("id", f"#!/bin/sh\necho {0 if root else 1000}\n")
        if apt_get is not None:
            self._program("apt-get", APT_GET.replace("{then}", apt_get))
        self.environment = {
            "PATH": str(self.bin), "BIN": str(self.bin), "LOG": str(self.log), "POLICY": str(self.policy),
            "POSTGRESQL": str(self.postgresql), "PYTHON": sys.executable,
        }  # fmt: skip

    def _program(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT)], env=self.environment | environ, capture_output=True, text=True, check=False, timeout=60
        )


def test_root_on_debian_gets_what_is_missing_and_no_service_is_started(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=True, apt_get=INSTALL)

    first, second = machine.run(), machine.run()

    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"Installing: {' '.join(SERVERS)}\n"
    update, policy, install, policy_again = machine.log.read_text().splitlines()
    assert update == "update -qq"
    assert install.endswith(" ".join(SERVERS))
    assert "--no-install-recommends" in install
    assert policy == policy_again == "services: 101"  # what invoke-rc.d takes for: do not start
    assert not machine.policy.exists()
    assert (second.returncode, second.stdout) == (0, "")


def test_a_policy_of_the_machines_own_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=True, apt_get=INSTALL)
    machine.policy.write_text("exit 7\n")

    machine.run()

    assert machine.policy.read_text() == "exit 7\n"
    assert "services: 7" in machine.log.read_text()


@pytest.mark.parametrize(("root", "apt_get"), [(False, INSTALL), (True, None), (True, "exit 100")])
def test_whoever_cannot_install_is_told_what_to_and_goes_on_but_in_ci_fails(
    tmp_path: Path, root: bool, apt_get: str | None
) -> None:
    machine = Machine(tmp_path, root=root, apt_get=apt_get)

    done, in_ci = machine.run(), machine.run(CI="true")

    assert done.returncode == 0
    assert f"sudo apt-get install {' '.join(SERVERS)}\n" in done.stdout
    assert in_ci.returncode != 0
    assert "chromium" in in_ci.stdout  # which nobody else is asked to install
    assert not machine.policy.exists()
    if not root:
        assert not machine.log.exists()


def test_a_python_without_venv_is_told_as_a_package(tmp_path: Path) -> None:
    machine = Machine(tmp_path, root=False, apt_get=None)
    machine._program("python3", "#!/bin/sh\nexit 1\n")

    assert "sudo apt-get install python3-venv postgresql" in machine.run(PYTHON="python3").stdout


def test_make_names_the_python_it_needs(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    done = subprocess.run(
        ["make", "demo", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        env={"PATH": f"{tmp_path}/none:/usr/bin:/bin", "POSTGRESQL": "/nowhere"} | _not_root(tmp_path),
    )  # fmt: skip

    assert done.returncode == 2
    assert "reporter needs Python 3.11 or newer; name one: make PYTHON=python3.12" in done.stderr


def _not_root(directory: Path) -> dict[str, str]:
    """An environment in which `id` says so."""
    (directory / "none").mkdir()
    fake = directory / "none" / "id"
    fake.write_text("#!/bin/sh\necho 1000\n")
    fake.chmod(0o755)
    return {"HOME": str(directory)}


def test_every_target_installs_into_its_own_environment() -> None:
    for target in ("demo", "test", "lint", "bench"):
        done = subprocess.run(
            ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "MAKEFLAGS": ""}, timeout=60,
        )  # fmt: skip
        told = done.stdout
        assert told.index(".ci/servers") < told.index("-m venv .venv") < told.index("--editable '.[dev]'"), target
