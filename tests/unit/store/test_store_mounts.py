"""Which file system a path lies on."""

from pathlib import Path

import pytest

from isocenter.store.mounts import is_network_filesystem, mount_of

TABLE = """\
/dev/vda / ext4 rw 0 0
proc /proc proc rw 0 0
server:/export /mnt/archive nfs4 rw 0 0
//nas/share /mnt/with\\040space cifs rw 0 0
/dev/vdb /mnt/archive/local xfs rw 0 0
user@host:/ /mnt/sshfs fuse.sshfs rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
server:/other /mnt/over nfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/lib/isocenter", "ext4", False),
        ("/mnt/archive", "nfs4", True),
        ("/mnt/archive/not/yet/there", "nfs4", True),
        ("/mnt/archive/local/x", "xfs", False),
        ("/mnt/archives", "ext4", False),
        ("/mnt/with space/x", "cifs", True),
        ("/mnt/sshfs/x", "fuse.sshfs", True),
        ("/mnt/over/x", "nfs", True),
    ],
)
def test_the_longest_and_latest_mount_counts(path: str, kind: str, network: bool) -> None:
    assert mount_of(path, TABLE)[1] == kind
    assert is_network_filesystem(path, TABLE) is network


def test_here(tmp_path: Path) -> None:
    assert mount_of(tmp_path)[0] != ""
