"""What SQLite needs to be fast and never to lose a commit (docs/design.md section 4, SQLite care)."""

import sqlite3
from pathlib import Path

from isocenter.errors import ConfigurationError

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2"}
    | {"gfs2", "davfs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.davfs2", "fuse.blobfuse2"}
    | {"fuse.gcsfuse", "fuse.ceph"}
)
"""Where locks or shared memory across machines can't be relied on (sqlite.org/wal.html)."""

BUSY_TIMEOUT_MS = 10_000
READER_CACHE_KB = 4_096
WRITER_CACHE_KB = 16_384


def connect(path: Path, *, cache_kb: int = READER_CACHE_KB, durable: bool = True) -> sqlite3.Connection:
    """A connection in driver-level autocommit: transactions begin where the program says so. Those of one that is not
    `durable` may be lost in a power cut, the last ones first; the database stays whole.

    Automatic checkpoints are off: only the writer makes them, under the write lock."""
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            "journal_mode=WAL",
            f"synchronous={'FULL' if durable else 'NORMAL'}",
            "wal_autocheckpoint=0",
            "mmap_size=0",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            f"cache_size=-{cache_kb}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_network_file_system(path: Path, mounts: str | None = None) -> None:
    """Raise ConfigurationError if `path` lies on a network file system. `mounts` stands in for /proc/self/mounts."""
    kind = file_system_of(path, Path("/proc/self/mounts").read_text("utf-8") if mounts is None else mounts)
    if kind in NETWORK_FILE_SYSTEMS:
        raise ConfigurationError(f"database: SQLite can't be used on a network file system ({kind}); use PostgreSQL")


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`: of the longest mount point above it, the last mounted."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind
