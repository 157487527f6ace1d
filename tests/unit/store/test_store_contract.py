"""What every store promises, tried on the folder and on its twin in memory."""

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isocenter.dicom import part10
from isocenter.errors import ConfigurationError, Reason, Refused, Retriable
from isocenter.store.api import KEY, Spool, Store
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.memory import MemoryStore
from unit.store.store_samples import HEADER, begun, data_of, header, keep, recorded


@pytest.fixture(params=["power", "process", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    made = FilesystemStore(tmp_path / "store", durability=request.param, floor_bytes=0)
    yield made
    made.close()


def test_an_object_comes_back_as_it_was_written(store: Store) -> None:
    spool = store.reserve()
    spool.begin(HEADER)
    changing = bytearray(b"second ")
    assert spool.write([b"first ", memoryview(changing)]) == 13
    changing[:] = b"xxxxxxx"
    spool.write([memoryview(b"third")])
    data = b"first second third"
    assert spool.size == len(data)
    assert spool.pread(6, 6) == b"second"
    assert spool.finish_data() == spool.digest == hashlib.sha256(data).hexdigest()
    spool.commit(header(spool.digest))
    assert spool.pread(5, 13) == b"third"
    assert KEY.match(spool.key)
    assert data_of(store, spool.key) == data
    assert store.size(spool.key) == HEADER + len(data)
    assert list(store.keys()) == [spool.key]
    with store.open(spool.key) as stored:
        assert stored.key == spool.key
        assert os.pread(stored.fileno(), 5, HEADER + 13) == b"third"
        assert stored.pread(100, HEADER + 13) == b"third"
        assert stored.pread(100, stored.size) == b""


def test_an_object_may_be_empty(store: Store) -> None:
    key = keep(store, b"")
    assert data_of(store, key) == b""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.binary(max_size=300), max_size=5), max_size=6))
def test_any_cut_of_the_data_gives_the_same_object(store: Store, writes: list[list[bytes]]) -> None:
    spool = store.reserve()
    spool.begin(HEADER)
    for views in writes:
        spool.write(views)
    data = b"".join(view for views in writes for view in views)
    assert spool.finish_data() == hashlib.sha256(data).hexdigest()
    spool.commit(header(spool.digest))
    assert data_of(store, spool.key) == data


def test_more_views_than_the_system_takes_at_once(store: Store) -> None:
    spool = store.reserve()
    spool.begin(HEADER)
    pieces = [random.Random(1).randbytes(7) for _ in range(2500)]
    spool.write(pieces)
    spool.write([b"end"])
    spool.commit(header(spool.finish_data()))
    assert data_of(store, spool.key) == b"".join(pieces) + b"end"


def test_an_object_of_many_strides(store: Store) -> None:
    spool = store.reserve()
    spool.begin(HEADER)
    piece = random.Random(2).randbytes(300_000)
    for _ in range(20):
        spool.write([piece])
    spool.commit(header(spool.finish_data()))
    assert data_of(store, spool.key) == piece * 20


def test_what_is_not_committed_is_not_there(store: Store) -> None:
    spool = begun(store, b"half")
    assert not store.exists(spool.key)
    assert list(store.keys()) == []
    with pytest.raises(Refused) as refusal:
        store.open(spool.key)
    assert refusal.value.reason == Reason.NOT_FOUND
    with pytest.raises(Refused):
        store.size(spool.key)
    spool.discard()


def test_what_is_discarded_never_was(store: Store) -> None:
    spool = begun(store, b"a long first try")
    spool.discard()
    spool.discard()
    with pytest.raises(ValueError, match="ended"):
        spool.commit(header(spool.digest))
    keys = [keep(store, b"short") for _ in range(3)]
    assert sorted(store.keys()) == sorted(keys)
    assert all(data_of(store, key) == b"short" for key in keys)


def test_discard_after_commit_changes_nothing(store: Store) -> None:
    spool = begun(store, b"kept")
    spool.commit(header(spool.finish_data()))
    spool.discard()
    assert data_of(store, spool.key) == b"kept"


def test_the_header_must_fit_and_be_one(store: Store) -> None:
    spool = begun(store, b"data")
    with pytest.raises(ValueError, match="left free"):
        spool.commit(header(spool.digest)[:-1])
    with pytest.raises(ValueError, match="mark"):
        spool.commit(bytes(HEADER))
    spool.commit(header(spool.digest))
    assert store.exists(spool.key)


def test_a_spool_has_one_course(store: Store) -> None:
    spool = store.reserve()
    with pytest.raises(ValueError, match="begin"):
        spool.write([b"early"])
    with pytest.raises(ValueError, match="begin"):
        spool.begin(10)
    spool.begin(HEADER)
    with pytest.raises(ValueError, match="begin"):
        spool.begin(HEADER)
    with pytest.raises(ValueError, match="settle"):
        spool.settle()
    spool.discard()


@pytest.mark.parametrize("key", ["", "ab", "../../etc/passwd", "A" * 32, "g" * 32, "0" * 31, "0" * 33, "0" * 32 + "\n"])
def test_a_key_of_another_form_reaches_no_path(store: Store, key: str) -> None:
    assert not store.exists(key)
    for call in (store.open, store.size, store.remove, store.open_exception):
        with pytest.raises(Refused):
            call(key)
    with pytest.raises(Refused):
        store.set_aside(key, "because")


def test_keys_are_random(store: Store) -> None:
    keys = {keep(store, b"the same") for _ in range(40)}
    assert len(keys) == 40
    assert set(store.keys()) == keys


def test_removal(store: Store) -> None:
    first, second = keep(store, b"first"), keep(store, b"second")
    assert store.remove(first)
    assert not store.remove(first)
    assert list(store.keys()) == [second]


def test_a_spool_is_set_aside_with_its_bytes(store: Store) -> None:
    spool = begun(store, b"not a data set")
    key = store.set_aside(spool, "cannot-understand", facts={"calling": "CT1"})
    assert list(store.keys()) == []
    (entry,) = store.exceptions()
    assert (entry.key, entry.reason, entry.offset, entry.facts) == (
        key,
        "cannot-understand",
        HEADER,
        {"calling": "CT1"},
    )
    assert entry.at > 1_700_000_000_000_000
    with store.open_exception(key) as stored:
        assert stored.size == entry.size
        assert stored.pread(100, 0) == bytes(100)
        assert stored.pread(100, HEADER) == b"not a data set"
    spool.discard()
    assert [entry.key for entry in store.exceptions()] == [key]


def test_an_exception_is_removed(store: Store) -> None:
    first, second = (store.set_aside(begun(store, data), "because") for data in (b"one", b"two"))
    assert store.remove_exception(first)
    assert [entry.key for entry in store.exceptions()] == [second]
    assert not store.remove_exception(first)
    with pytest.raises(Refused):
        store.open_exception(first)
    with pytest.raises(Refused):
        store.remove_exception("../" + second)


def test_what_is_set_aside_again_is_counted(store: Store) -> None:
    """One entry of what came again, an object as well as a spool; another of what is not alike."""
    whole = store.reserve()
    digest = hashlib.sha256(b"the same").hexdigest()
    top = part10.stored_header("1.2", "1.3", "1.2.840.10008.1.2.1", part10.Receipt("CT1", "A", "::1", 1, digest))
    whole.begin(len(top))
    whole.write([b"the same"])
    whole.commit(top)
    whole.settle()
    again = [begun(store, b"the same"), begun(store, b"the same"), whole.key]
    keys = {store.set_aside(each, "because", facts={"n": n}, alike="same") for n, each in enumerate(again)}
    other = store.set_aside(begun(store, b"another"), "because", alike="other")
    first, second = store.exceptions()
    assert keys == {first.key}
    assert (first.times, first.facts) == (3, {"n": 0})
    assert first.last_at >= first.at
    assert (second.key, second.times, second.last_at) == (other, 1, 0)
    assert list(store.keys()) == []
    with store.open_exception(first.key) as stored:
        assert stored.pread(100, first.offset) == b"the same"
    # once it is gone it is counted anew
    assert store.remove_exception(first.key)
    assert store.set_aside(begun(store, b"the same"), "because", alike="same") == first.key
    assert {entry.key: entry.times for entry in store.exceptions()} == {first.key: 1, other: 1}


def test_a_spool_set_aside_may_have_a_header(store: Store) -> None:
    spool = begun(store, b"data")
    key = store.set_aside(spool, "sop-class-mismatch", header=header(spool.digest))
    with store.open_exception(key) as stored:
        assert recorded(stored) is not None
    assert not store.exists(key)


def test_an_object_is_set_aside(store: Store) -> None:
    key = keep(store, b"altered")
    store.set_aside(key, "altered")
    assert not store.exists(key)
    assert [entry.reason for entry in store.exceptions()] == ["altered"]
    with store.open_exception(key) as stored:
        assert stored.pread(100, HEADER) == b"altered"
    with pytest.raises(Refused):
        store.set_aside(key, "again")


def test_the_journal_keeps_its_order(store: Store) -> None:
    records = [{"kind": "edit", "number": n, "text": "Größe \u0000 \\^=", "list": [1, None, 2.5]} for n in range(30)]
    for record in records:
        store.append_journal(record)
    assert list(store.journal()) == records
    with pytest.raises(TypeError):
        store.append_journal({"bytes": b"not JSON"})
    assert len(list(store.journal())) == 30


def test_packs_come_and_go(store: Store) -> None:
    assert store.put_pack("series-12.json.gz", [b"one ", memoryview(b"two")]) == 7
    assert store.put_pack("series-12.json.gz", iter([b"other"])) == 5
    with store.open_pack("series-12.json.gz") as pack:
        assert pack.pread(100, 0) == b"other"
    assert store.remove_pack("series-12.json.gz")
    assert not store.remove_pack("series-12.json.gz")
    with pytest.raises(Refused):
        store.open_pack("series-12.json.gz")


def test_a_pack_that_fails_leaves_the_old_one(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError("no more")

    store.put_pack("p", [b"old"])
    with pytest.raises(RuntimeError):
        store.put_pack("p", broken())
    with store.open_pack("p") as pack:
        assert pack.pread(10, 0) == b"old"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", ".hidden", "a..b", "x" * 200, "a b", "a\n", "-x"])
def test_a_pack_name_is_no_path(store: Store, name: str) -> None:
    for call in (store.open_pack, store.remove_pack, lambda n: store.put_pack(n, [b""])):
        with pytest.raises(Refused):
            call(name)


def test_the_store_has_one_server(store: Store) -> None:
    with store.exclusive(), pytest.raises(ConfigurationError), store.exclusive():
        pass
    with store.exclusive():
        pass


def test_recovery_offers_what_was_not_settled(store: Store) -> None:
    keep(store, b"settled")
    offered = keep(store, b"not settled", settle=False)
    half = begun(store, b"half")
    report = store.recover(recorded)
    assert offered in report.recovered
    store.settle(report.recovered)
    assert store.recover(recorded).recovered == ()
    assert store.exists(offered)
    assert not store.exists(half.key)
    half.discard()


def test_an_archive_has_an_id(store: Store) -> None:
    assert len(store.archive_id) == 32


def test_a_spool_of_another_store_is_refused(store: Store) -> None:
    other: Spool = begun(MemoryStore(), b"") if isinstance(store, FilesystemStore) else _Foreign()
    with pytest.raises(TypeError):
        store.set_aside(other, "mixed up")


def test_space_below_the_floor_is_no_success(store: Store, tmp_path: Path) -> None:
    full: Store
    if isinstance(store, MemoryStore):
        full = MemoryStore(capacity=1000, floor_bytes=900)
        keep(full, bytes(200))
    else:
        full = FilesystemStore(tmp_path / "full", floor_bytes=1 << 60)
    with pytest.raises(Retriable) as refusal:
        full.reserve()
    assert refusal.value.reason == Reason.OUT_OF_STORAGE
    with pytest.raises(Retriable):
        store.reserve(size_hint=1 << 61)


class _Foreign:
    """Something that is no spool of ours."""
