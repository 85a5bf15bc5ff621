"""Which file system a file lies on, because SQLite keeps a database whole only on one of this machine's own; and writing files
as a whole."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

SHARED = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "9p", "virtiofs", "vboxsf", "vmhgfs", "ceph", "glusterfs",
     "lustre", "gpfs", "beegfs", "orangefs", "ocfs2", "gfs2", "davfs")
)  # fmt: skip
"""Types that other machines, or a virtual machine's host, write too; `fuse.*` but for fuse.fuse-overlayfs counts as well.

Source: https://www.sqlite.org/wal.html, "all processes using a database must be on the same host computer"
"""


def write_whole(path: Path, content: bytes, *, replace: bool) -> None:
    """Write the whole file or nothing; an old one stays intact until the new one is on disk.

    Raises:
        FileExistsError: the file is there and `replace` is False, however late it appeared.
        OSError: it can't be written there.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o644)
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def warning(path: Path, mountinfo: str | None = None) -> str:
    """What is wrong with a database at `path`; nothing on a local file system, or where that can't be told.

    `mountinfo` is the text of /proc/self/mountinfo, read if not given.
    """
    if mountinfo is None:
        try:
            mountinfo = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return ""
    kind = file_system(os.path.realpath(path), mountinfo)
    if kind in SHARED or (kind.startswith("fuse.") and kind != "fuse.fuse-overlayfs"):
        return (
            f"{path}: lies on {kind}, where SQLite's write-ahead log is corrupted sooner or later;"
            " use a local disk, or Postgres for many machines"
        )
    return ""


def file_system(path: str, mountinfo: str) -> str:
    """The type of the file system that holds an absolute path; "" when no mount does.

    Source: https://docs.kernel.org/filesystems/proc.html, 3.5 /proc/<pid>/mountinfo
    """
    found, depth = "", -1
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if (path == mount or path.startswith(mount.rstrip("/") + "/")) and len(mount) >= depth:
            found, depth = after.partition(" ")[0], len(mount)  # of two on one place, the later one covers the earlier
    return found
