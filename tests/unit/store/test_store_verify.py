"""Verification against the digests in real file headers."""

from pathlib import Path

import pytest

from isocenter.dicom import part10
from isocenter.store.api import Store
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.memory import MemoryStore
from isocenter.store.verify import recorded, verify

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"


@pytest.fixture(params=["filesystem", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else FilesystemStore(tmp_path, floor_bytes=0)


def keep(store: Store, data: bytes, digest: str = "") -> str:
    """As ingest does: the header's size is known before the digest is."""
    receipt = part10.Receipt("CT1", "ISOCENTER", "127.0.0.1", 1_800_000_000_000_000, "")
    spool = store.reserve()
    spool.begin(len(part10.stored_header(CT, "1.2.3", EXPLICIT_LE, receipt)))
    spool.write([data])
    receipt = receipt._replace(digest=digest or spool.finish_data())
    spool.commit(part10.stored_header(CT, "1.2.3", EXPLICIT_LE, receipt))
    return spool.key


@pytest.mark.parametrize(
    "data",
    [
        b"\x08\x00\x16\x00UI\x1a\x00" + CT.encode() + b"\0",
        b"\x02\x00\x10\x00UI\x14\x00" + EXPLICIT_LE.encode() + b"\0",
        b"\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00",
        b"",
        bytes(3_000_000),
    ],
    ids=["data set", "file meta again", "command group", "empty", "large"],
)
def test_sound_objects(store: Store, data: bytes) -> None:
    key = keep(store, data)
    (finding,) = verify(store)
    assert (finding.key, finding.verdict) == (key, "sound")
    with store.open(key) as stored:
        facts = recorded(stored)
        assert facts is not None
        assert stored.pread(len(data) + 1, facts.offset) == data
    assert key in store.recover().recovered
    store.close()


def test_altered_objects(store: Store) -> None:
    good, bad = keep(store, b"good"), keep(store, b"bad", digest="0" * 64)
    findings = {finding.key: finding.verdict for finding in verify(store)}
    assert findings == {good: "sound", bad: "altered"}
    store.set_aside(bad, "altered")
    (entry,) = store.exceptions()
    with store.open_exception(bad) as stored:
        assert stored.pread(10, entry.offset) == b"bad"
    store.close()


def test_objects_that_recorded_nothing_or_nonsense(store: Store) -> None:
    plain = store.reserve()
    header = part10.file_header(CT, "1.2.3", EXPLICIT_LE)
    plain.begin(len(header))
    plain.commit(header)
    nonsense = store.reserve()
    nonsense.begin(200)
    nonsense.commit(b"x" * 200)
    findings = {finding.key: finding.verdict for finding in verify(store)}
    assert findings == {plain.key: "no-digest", nonsense.key: "unreadable"}
    store.close()
