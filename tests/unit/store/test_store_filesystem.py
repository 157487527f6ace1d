"""The folder of a store: its layout, its reservations, what a failing disk and a crash leave."""

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isocenter.errors import ConfigurationError, Reason, Retriable
from isocenter.store import reservations, spool
from isocenter.store.filesystem import FilesystemStore
from isocenter.store.journal import Journal
from isocenter.store.layout import ROOMS, Layout
from unit.store.store_samples import HEADER, begun, data_of, header, keep, recorded


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "store"


@pytest.fixture
def store(root: Path) -> Iterator[FilesystemStore]:
    made = FilesystemStore(root, floor_bytes=0)
    yield made
    made.close()


def object_files(root: Path) -> list[Path]:
    return [path for path in (root / "objects").rglob("*") if path.is_file()]


def test_the_layout(store: FilesystemStore, root: Path) -> None:
    key = keep(store, b"x")
    assert (root / "objects" / key[:2] / key[2:4] / key).stat().st_size == HEADER + 1
    assert {p.name for p in root.iterdir()} == {"archive.json", *(room for room in ROOMS if "/" not in room)}
    assert json.loads((root / "archive.json").read_text())["archive"] == store.archive_id
    assert FilesystemStore(root).archive_id == store.archive_id


def test_a_later_layout_is_refused(store: FilesystemStore, root: Path) -> None:
    (root / "archive.json").write_text(json.dumps({"archive": "a", "layout": 2}))
    with pytest.raises(ConfigurationError, match="layout 2"):
        FilesystemStore(root)
    (root / "archive.json").write_text("{")
    with pytest.raises(ConfigurationError, match="can't be read"):
        FilesystemStore(root)


def test_objects_without_an_archive_id_are_not_adopted_silently(store: FilesystemStore, root: Path) -> None:
    keep(store, b"x")
    (root / "archive.json").unlink()
    with pytest.raises(ConfigurationError, match=r"no archive\.json"):
        FilesystemStore(root)


def test_no_thread_and_no_name_before_the_first_use(root: Path) -> None:
    before = threading.active_count()
    store = FilesystemStore(root, floor_bytes=0)
    assert threading.active_count() == before
    assert object_files(root) == []
    keep(store, b"x")
    store.close()
    assert threading.active_count() == before


def test_close_leaves_objects_only(store: FilesystemStore, root: Path) -> None:
    keys = [keep(store, b"x") for _ in range(5)]
    store.close()
    assert sorted(path.name for path in object_files(root)) == sorted(keys)
    assert list((root / "spool").iterdir()) == []
    keys.append(keep(store, b"again"))
    assert sorted(store.keys()) == sorted(keys)


def test_reservation_files_go_when_all_their_names_are_settled(store: FilesystemStore, root: Path) -> None:
    unsettled = keep(store, b"x", settle=False)
    for _ in range(300):
        keep(store, b"x")
    store.close()
    (batch,) = (root / "spool").iterdir()
    assert unsettled in batch.read_text()
    assert store.recover(recorded).recovered.count(unsettled) == 1


def test_threads_share_the_pool(store: FilesystemStore) -> None:
    keys: list[str] = []

    def work(number: int) -> None:
        keys.extend(keep(store, f"{number}-{n}".encode()) for n in range(100))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 400
    assert {data_of(store, key) for key in keys} == {f"{t}-{n}".encode() for t in range(4) for n in range(100)}


def test_a_discarded_name_is_used_again(store: FilesystemStore) -> None:
    names = set()
    for _ in range(200):
        half = begun(store, b"half")
        names.add(half.key)
        half.discard()
    assert len(names) <= reservations.LARGEST_BATCH
    assert keep(store, b"") in names or len(names) > 1


def crash(store: FilesystemStore, root: Path) -> FilesystemStore:
    """Another server's view of the folder, as if this process had ended: nobody reserves names for `store` any more."""
    pool = store._process_pool()
    pool._closing = True
    if pool._thread is not None:
        pool._wanted.set()
        pool._thread.join()
    return FilesystemStore(root, floor_bytes=0)


def test_recovery_cleans_only_what_never_was(store: FilesystemStore, root: Path) -> None:
    settled, open_row = keep(store, b"settled"), keep(store, b"no row yet", settle=False)
    half, begun_only = begun(store, b"half an object"), store.reserve()
    begun_only.begin(HEADER)
    after = crash(store, root)
    report = after.recover(recorded)
    # The batch is one: with a name in it unsettled, its settled objects are offered too.
    assert set(report.recovered) == {settled, open_row}
    assert report.unfinished == 1
    assert report.unused >= 10
    assert report.set_aside == ()
    assert sorted(path.name for path in object_files(root)) == sorted([settled, open_row])
    assert set(crash(store, root).recover(recorded).recovered) == {settled, open_row}
    after.settle([settled])
    assert list((root / "spool").iterdir())
    after.settle([open_row])
    assert list((root / "spool").iterdir()) == []
    half._file = begun_only._file = _closed(half._file, begun_only._file)


def _closed(*files: int) -> int:
    for file in files:
        os.close(file)
    return -1


def test_recovery_sets_aside_what_does_not_match_its_header(store: FilesystemStore, root: Path) -> None:
    key = keep(store, b"as received", settle=False)
    path = root / "objects" / key[:2] / key[2:4] / key
    with path.open("r+b") as file:
        file.seek(HEADER)
        file.write(b"\0\0\0")
    after = crash(store, root)
    report = after.recover(recorded)
    assert (report.recovered, report.set_aside) == ((), (key,))
    assert [entry.reason for entry in after.exceptions()] == ["altered at recovery"]


def test_recovery_of_one_dead_worker(store: FilesystemStore, root: Path) -> None:
    mine = keep(store, b"mine", settle=False)
    store.close()
    (batch,) = (root / "spool").iterdir()
    batch.rename(batch.with_name(f"999999.{batch.name.partition('.')[2]}"))
    live = begun(store, b"still going on")
    with store.exclusive():
        report = crash(store, root).recover(recorded, owner=999999)
    assert report.recovered == (mine,)
    assert report.unfinished == 0
    live.commit(header(live.finish_data()))
    assert data_of(store, live.key) == b"still going on"


def test_recovery_wants_the_store_for_itself(store: FilesystemStore, root: Path) -> None:
    with store.exclusive(), pytest.raises(ConfigurationError, match="another server"):
        crash(store, root).recover(recorded)


def test_a_torn_reservation_file_is_no_obstacle(store: FilesystemStore, root: Path) -> None:
    key = keep(store, b"x", settle=False)
    (batch,) = [path for path in (root / "spool").iterdir() if key in path.read_text()]
    batch.write_bytes(f"{key}\n{key[:9]}".encode() + bytes(7))
    assert key in crash(store, root).recover(recorded).recovered


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, Reason.OUT_OF_STORAGE),
        (errno.EDQUOT, Reason.OUT_OF_STORAGE),
        (errno.EROFS, Reason.OUT_OF_STORAGE),
        (errno.EIO, Reason.OUT_OF_RESOURCES),
        (errno.EMFILE, Reason.OUT_OF_RESOURCES),
    ],
)
class TestFailingDisk:
    """Each way in which the system says no: the answer is never success, and there is no object."""

    def test_write(self, store: FilesystemStore, monkeypatch: pytest.MonkeyPatch, number: int, reason: Reason) -> None:
        half = begun(store, b"first")
        monkeypatch.setattr(spool.os, "writev", _failing(number))
        with pytest.raises(Retriable) as failure:
            half.write([b"second"])
        assert failure.value.reason == reason
        monkeypatch.undo()
        with pytest.raises(Retriable):
            half.commit(header(half.digest))
        half.discard()
        assert list(store.keys()) == []
        assert not Path(half.path).exists()

    def test_sync(self, store: FilesystemStore, monkeypatch: pytest.MonkeyPatch, number: int, reason: Reason) -> None:
        half = begun(store, b"data")
        monkeypatch.setattr(spool.os, "fdatasync", _failing(number))
        with pytest.raises(Retriable) as failure:
            half.commit(header(half.digest))
        assert failure.value.reason == reason
        monkeypatch.undo()
        assert list(store.keys()) == []
        assert not Path(half.path).exists()
        half.discard()
        with pytest.raises(ValueError, match="ended"):
            half.commit(header(half.digest))

    def test_sync_where_even_the_name_stays(
        self, store: FilesystemStore, monkeypatch: pytest.MonkeyPatch, number: int, reason: Reason
    ) -> None:
        half = begun(store, b"data")
        monkeypatch.setattr(spool.os, "fdatasync", _failing(number))
        monkeypatch.setattr(reservations.os, "unlink", _failing(number))
        with pytest.raises(Retriable):
            half.commit(header(half.digest))
        monkeypatch.undo()
        assert Path(half.path).exists()
        assert list(store.keys()) == []

    def test_reserve(
        self, store: FilesystemStore, monkeypatch: pytest.MonkeyPatch, number: int, reason: Reason
    ) -> None:
        monkeypatch.setattr(reservations, "create_batch", _failing(number))
        with pytest.raises(Retriable) as failure:
            store.reserve()
        assert failure.value.reason == reason
        monkeypatch.undo()
        assert data_of(store, keep(store, b"it recovers")) == b"it recovers"

    def test_journal(
        self, store: FilesystemStore, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: Reason
    ) -> None:
        monkeypatch.setattr("isocenter.store.layout.os.fsync", _failing(number))
        with pytest.raises(Retriable) as failure:
            store.append_journal({"kind": "edit"})
        assert failure.value.reason == reason
        monkeypatch.undo()
        assert list(store.journal()) == []

    def test_pack(self, store: FilesystemStore, monkeypatch: pytest.MonkeyPatch, number: int, reason: Reason) -> None:
        monkeypatch.setattr("isocenter.store.packs.os.rename", _failing(number))
        with pytest.raises(Retriable) as failure:
            store.put_pack("p", [b"x"])
        assert failure.value.reason == reason


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_short_writes_are_finished(store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real_writev, real_pwrite = os.writev, os.pwrite
    half = store.reserve()
    half.begin(HEADER)
    monkeypatch.setattr(spool.os, "writev", lambda file, views: real_writev(file, [memoryview(views[0])[:3]]))
    monkeypatch.setattr(spool.os, "pwrite", lambda file, view, offset: real_pwrite(file, view[:5], offset))
    half.write([b"first part, ", b"second part, "])
    half.write([b"third part"])
    half.commit(header(half.finish_data()))
    assert data_of(store, half.key) == b"first part, second part, third part"


def test_create_batch_leaves_nothing_when_it_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(str(root), durable=True)
    layout.make_rooms()
    real, calls = os.open, iter(range(10_000))

    def fail_late(*args: object, **more: object) -> int:
        if next(calls) > 20:
            raise OSError(errno.ENOSPC, "full")
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(reservations.os, "open", fail_late)
    with pytest.raises(OSError, match="full"):
        reservations.create_batch(layout, "abcd", 64)
    monkeypatch.undo()
    assert object_files(root) == []
    assert list((root / "spool").iterdir()) == []


def test_the_floor_is_watched_while_an_object_grows(root: Path) -> None:
    store = FilesystemStore(root, floor_bytes=0, stride=1 << 16)
    half = store.reserve()
    half.begin(HEADER)
    store._floor._floor = 1 << 60
    store._floor._until = 0.0
    with pytest.raises(Retriable):
        half.write([bytes(1 << 17)])
    half.discard()
    assert not Path(half.path).exists()
    store.close()


def test_a_torn_journal_record_is_passed_over_and_reported(store: FilesystemStore, root: Path) -> None:
    for number in range(3):
        store.append_journal({"number": number})
    last = sorted((root / "journal").rglob("*.json"))[-1]
    last.write_bytes(last.read_bytes()[:-3])
    assert [record["number"] for record in store.journal()] == [0, 1]
    assert store.recover(recorded).damaged_journal == (last.name,)
    store.append_journal({"number": 3})
    assert [record["number"] for record in store.journal()] == [0, 1, 3]


def test_the_journal_is_in_order_even_if_the_clock_stands_or_steps_back(root: Path) -> None:
    layout = Layout(str(root), durable=False)
    layout.make_rooms()
    times = iter([1_000_000, 1_000_000, 999_000, 1_000_000 + 86_400_000_000])
    journal = Journal(layout, lambda: next(times))
    for number in range(4):
        journal.append({"number": number})
    assert [record["number"] for record in journal.records()] == [0, 1, 2, 3]
    assert sorted(path.name for path in (root / "journal").iterdir()) == ["19700101", "19700102"]


def test_recovery_cleans_packs_that_were_being_written(store: FilesystemStore, root: Path) -> None:
    (root / "packs" / "new" / "0123").write_bytes(b"half")
    store.recover(recorded)
    assert list((root / "packs" / "new").iterdir()) == []


def test_an_exception_that_was_cut_short_gives_way_to_a_whole_one(store: FilesystemStore, root: Path) -> None:
    key = store.set_aside(begun(store, b"bytes"), "why", alike="same")
    os.truncate(root / "exceptions" / key, 3)
    assert store.set_aside(begun(store, b"bytes"), "why", alike="same") == key
    with store.open_exception(key) as stored:
        assert stored.pread(1000, HEADER) == b"bytes"


def test_a_count_that_cannot_be_read_begins_again(store: FilesystemStore, root: Path) -> None:
    for _ in range(3):
        key = store.set_aside(begun(store, b"bytes"), "why", alike="same")
    (root / "exceptions" / f"{key}.times").write_text("")
    assert [(entry.reason, entry.times) for entry in store.exceptions()] == [("why", 1)]
    store.set_aside(begun(store, b"bytes"), "why", alike="same")
    assert [entry.times for entry in store.exceptions()] == [2]


def test_many_at_once_count_each(store: FilesystemStore) -> None:
    spools = [begun(store, b"bytes") for _ in range(12)]
    with ThreadPoolExecutor(6) as pool:
        keys = set(pool.map(lambda spool: store.set_aside(spool, "why", alike="same"), spools))
    (entry,) = store.exceptions()
    assert (keys, entry.times) == ({entry.key}, 12)


def test_an_exception_without_its_note_is_still_listed(store: FilesystemStore, root: Path) -> None:
    key = store.set_aside(begun(store, b"bytes"), "why")
    (root / "exceptions" / f"{key}.json").write_text("{")
    assert [(entry.key, entry.reason) for entry in store.exceptions()] == [(key, "unknown")]


def test_other_files_in_the_folders_are_left_alone(store: FilesystemStore, root: Path) -> None:
    key = keep(store, b"x")
    strange = root / "objects" / key[:2] / key[2:4] / "README"
    strange.write_text("not ours")
    assert list(store.keys()) == [key]
    store.recover(recorded)
    assert strange.exists()
