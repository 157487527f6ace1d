"""Which file system a path lies on. SQLite and the store's locks want a local one."""

import os
from pathlib import Path

NETWORK = frozenset(
    ["9p", "afs", "afpfs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs"],
).union(
    ["nfs", "nfs4", "ocfs2", "orangefs", "panfs", "smb3", "smbfs", "virtiofs"],
)
NETWORK_FUSE = frozenset(
    ["ceph", "davfs", "glusterfs", "goofys", "juicefs", "lustre", "mfs", "rclone", "s3fs", "sshfs", "blobfuse2"]
)
"""The same, behind `fuse.`."""


def mount_of(path: str | os.PathLike[str], table: str | None = None) -> tuple[str, str]:
    """(mount point, file system type) for `path`, which need not exist yet. `table` stands in for /proc/mounts."""
    real = os.path.realpath(path)
    best = ("", "")
    for line in (Path("/proc/mounts").read_text() if table is None else table).splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = _unescape(fields[1])
        # Later lines lie over earlier ones at the same point.
        if len(point) >= len(best[0]) and (real == point or real.startswith(point.rstrip("/") + "/")):
            best = (point, fields[2])
    return best


def is_network_filesystem(path: str | os.PathLike[str], table: str | None = None) -> bool:
    """Whether `path` lies on a network or cluster file system, as far as the system tells."""
    try:
        kind = mount_of(path, table)[1]
    except OSError:
        return False
    return kind in NETWORK or kind.removeprefix("fuse.") in NETWORK_FUSE


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
