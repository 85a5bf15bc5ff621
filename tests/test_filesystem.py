"""SQLite on a file system that other machines write too is warned of, from what Linux says of its mounts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reporter.filesystem import file_system, warning
from tests.cli import console

# As Linux 6.1 wrote it, on a Debian machine with a container's, a virtual machine's and three network mounts.
MOUNTINFO = r"""22 27 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
25 24 0:23 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw,size=24684092k,inode64
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard,errors=remount-ro
61 27 0:44 / /mnt/jobs rw,relatime shared:30 - nfs4 files.example:/export/jobs rw,vers=4.2,rsize=1048576,hard,proto=tcp
62 27 0:45 / /mnt/with\040blank rw,relatime shared:31 - cifs //files/with\040blank rw,vers=3.1.1,cache=strict
63 61 254:1 / /mnt/jobs/local rw,relatime shared:32 - xfs /dev/vdb rw,attr2
64 27 0:46 / /home/me/s3 rw,nosuid,nodev,relatime shared:33 - fuse.s3fs s3fs rw,user_id=1000,group_id=1000
65 27 0:47 / /var/lib/box rw,relatime - overlay overlay rw,lowerdir=/a - b/c,upperdir=/u,workdir=/w
66 27 0:48 / /covered rw,relatime - nfs files.example:/covered rw,vers=3
67 66 254:2 / /covered rw,relatime - ext4 /dev/vdc rw
68 27 0:49 / /work rw,relatime - virtiofs share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/jobs.db", "ext4"), ("/mnt/jobs.db", "ext4"), ("/mnt/jobs2/jobs.db", "ext4"), ("/mnt/jobs/jobs.db", "nfs4"),
        ("/mnt/jobs", "nfs4"), ("/mnt/jobs/local/jobs.db", "xfs"), ("/mnt/with blank/jobs.db", "cifs"),
        ("/home/me/s3/jobs.db", "fuse.s3fs"), ("/var/lib/box/jobs.db", "overlay"), ("/covered/jobs.db", "ext4"),
    ],
)  # fmt: skip
def test_a_path_lies_on_the_innermost_and_latest_mount(path: str, kind: str) -> None:
    assert file_system(path, MOUNTINFO) == kind


def test_only_shared_file_systems_are_warned_of() -> None:
    shared = {line.split(" ")[4]: warning(Path(line.split(" ")[4]) / "jobs.db", MOUNTINFO)
              for line in MOUNTINFO.splitlines() if "040" not in line}  # fmt: skip
    assert {mount for mount, told in shared.items() if told} == {"/mnt/jobs", "/home/me/s3", "/work"}
    assert shared["/mnt/jobs"].startswith(
        "/mnt/jobs/jobs.db: lies on nfs4, where SQLite's write-ahead log is corrupted"
    )
    assert "use a local disk, or Postgres" in shared["/mnt/jobs"]


def test_a_link_is_followed_and_a_kernel_that_says_nothing_is_believed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/mnt/jobs")
    assert "nfs4" in warning(tmp_path / "link" / "jobs.db", MOUNTINFO)
    assert warning(tmp_path / "jobs.db", "") == ""
    assert warning(tmp_path / "jobs.db") == ""  # tests run on a local disk, and read their own mounts


def test_every_command_warns_and_goes_on(tmp_path: Path) -> None:
    """In a mount namespace where the kernel's answer is replaced: a network file system can't be had everywhere."""
    (tmp_path / "mountinfo").write_text(
        f"27 1 0:44 / {tmp_path} rw,relatime - nfs4 files.example:/export rw,vers=4.2\n"
    )
    command = (
        f"mount --bind {tmp_path}/mountinfo /proc/$$/mountinfo && exec {console.SCRIPT} --database sqlite:///jobs.db"
    )
    unshare = shutil.which("unshare")
    if unshare is None or os.getuid() != 0 or subprocess.run([unshare, "-m", "true"], check=False).returncode != 0:
        pytest.skip("making a mount namespace is not allowed here")
    for subcommand in ("report", "check"):
        done = subprocess.run(
            [unshare, "-m", "sh", "-c", f"{command} {subcommand}"], cwd=tmp_path, env=console.environment(tmp_path),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("reporter: warning: jobs.db: lies on nfs4, ")
        assert done.stderr.count("\n") == 1
