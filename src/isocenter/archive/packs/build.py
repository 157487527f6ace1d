"""Making the DICOM JSON of a series from its objects: headers are read here, written as JSON by the workers."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

from sqlalchemy import func, select

from isocenter import telemetry
from isocenter.archive.leaving import overlaid
from isocenter.archive.packs.file import Block
from isocenter.archive.packs.work import Header, Written
from isocenter.archive.packs.workers import Workers
from isocenter.archive.retrieval.instances import Located, Series, reader, seen
from isocenter.database import Database
from isocenter.dicom import json_model
from isocenter.dicom.part10 import Receipt, read_header, read_receipt
from isocenter.dicom.scan import scan_file
from isocenter.dicom.uids import transfer_syntax
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.index.tables import instance
from isocenter.store.api import Store, StoredObject

log = telemetry.logger("archive.packs")

BATCH = 50
"""Instances of one turn of a worker: some 25 ms of work."""
_PAGE = 2000
_PREFIX = 1 << 15
"""Bytes that hold most headers, where the frame table doesn't tell how long one is."""
_HEADER_LIMIT = 64 << 20
"""Longer headers (raw data in private elements) are answered by their UIDs alone."""
_LAST = 1 << 62
_FRAME_TABLE_HEAD = 13


Assumed: TypeAlias = Callable[[Callable[[], Receipt | None]], str]
"""The character set of an object that names none, given what reads how it was received."""


class Place(NamedTuple):
    """One instance and what it takes to read its header."""

    sop_uid: str
    sop_class: str
    syntax: str
    store_key: str
    size: int
    offset: int
    pixels: int
    """Where the frame table says that the first frame begins; 0: unknown."""


def place_of(one: Located) -> Place:
    """Where a located instance lies."""
    return Place(one.sop_uid, one.sop_class, one.syntax, one.store_key, one.size, one.offset, 0)


def places(database: Database, one: Series) -> Iterator[Place]:
    """The instances in force of a series, ordered as `retrieve.locate` does."""
    number = func.coalesce(instance.c.instance_number_value, _LAST)
    query = (
        select(
            instance.c.sop_uid,
            instance.c.sop_class,
            instance.c.syntax,
            instance.c.store_key,
            instance.c.size,
            instance.c.offset,
            func.substr(instance.c.frame_table, 1, _FRAME_TABLE_HEAD),
        )
        .where(instance.c.series == one.id, seen(one.view))
        .order_by(number, instance.c.id)
    )
    at = 0
    while True:
        with database.reading() as connection:
            rows = connection.execute(query.limit(_PAGE).offset(at)).all()
        for row in rows:
            yield Place(*row[:6], _first_frame(row[6]))
        at += len(rows)
        if len(rows) < _PAGE:
            return


def _receipt(opened: StoredObject, place: Place) -> Receipt | None:
    try:
        return read_receipt(read_header(opened.pread(place.offset, 0)))
    except IsocenterError:
        return None


def _first_frame(table: Any) -> int:
    """The offset in the head of a frame table (`index.frames`): kinds 1 and 2 have it behind kind and count."""
    head = bytes(table or b"")
    return int.from_bytes(head[5:13], "little") if len(head) == _FRAME_TABLE_HEAD and head[0] in (1, 2) else 0


class Builder:
    """Makes blocks. One for a process; `close` it."""

    def __init__(self, database: Database, store: Store, workers: Workers, character_set: Assumed) -> None:
        self._database, self._store, self._workers = database, store, workers
        self._character_set = character_set
        self._threads = ThreadPoolExecutor(max(workers.limit, 1), thread_name_prefix="packs")

    def blocks(self, one: Series, root: str) -> Iterator[Block]:
        """The series, block after block; the next ones are being made meanwhile."""
        found = places(self._database, one)
        ahead: deque[Future[Block]] = deque()
        try:
            while batch := list(islice(found, BATCH)):
                ahead.append(self._threads.submit(self.block, batch, one, root))
                if len(ahead) > 2 * max(self._workers.limit, 1):
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def block(self, batch: Sequence[Place], one: Series, root: str, *, here: bool = False) -> Block:
        """The JSON and headers of a few instances of one series; with `here` without a worker."""
        base = _base(root, one.study_uid, one.series_uid)
        headers = [self._header(place, base, 0, one.overlay) for place in batch]
        write = self._workers.inline if here else self._workers.write
        written = write(headers)
        for number, (place, answer) in enumerate(zip(batch, written, strict=True)):
            if answer.need:
                headers[number], written[number] = self._again(place, base, answer, one.overlay)
        objects = [
            answer.json or _identity(place, one) for place, answer in zip(batch, written, strict=True)
        ]  # fmt: skip
        return Block(
            b",".join(objects),
            tuple((place.sop_uid, place.syntax) for place in batch),
            tuple(header.data[: answer.end] for header, answer in zip(headers, written, strict=True)),
            all(header.data for header in headers),
        )

    def ruled(self, located: Located, root: str) -> bytes:
        """The JSON of an instance with all that is laid over it, b"" where that is nothing. Bulk data is found under
        the UIDs that it is stored with. Raises as `archive.leaving.changes_of`."""
        with reader(self._store, located) as opened:
            laid = overlaid(opened, located)
            if laid is None:
                return b""
            edited = laid.edited(lambda _: ()) if transfer_syntax(located.syntax).deflated else laid
            found = scan_file(lambda n, at: edited.read(at, n), edited.size(), edited.syntax, frozenset())
            if found.end > _HEADER_LIMIT:
                raise Refused(Reason.TOO_LARGE, "the header of the object is too long")
            data = edited.read(0, found.end)
        place = place_of(located)
        uri = _base(root, located.study_uid, located.series_uid) + quote(located.sop_uid, safe="") + "/bulkdata"
        pixel = (found.pixel.tag, found.pixel.vr) if found.pixel else None
        with self._store.open(located.store_key) as stored:
            assumed = self._character_set(lambda: _receipt(stored, place))
        return json_model.write(data, edited.syntax, bulk_uri=uri, pixel=pixel, default_charset=assumed)

    def close(self) -> None:
        """Wait for what runs."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _again(self, place: Place, base: str, answer: Written, overlay: str) -> tuple[Header, Written]:
        """The same with more bytes, as often as more are needed."""
        header = Header(b"", place.syntax, False, "")
        while answer.need and len(header.data) < place.size:
            wanted = max(answer.need, 2 * len(header.data), _PREFIX)
            if min(wanted, place.size) > _HEADER_LIMIT:
                log.warning("packs.header_too_long", key=place.store_key)
                return header, Written(b"")
            header = self._header(place, base, wanted, overlay)
            answer = self._workers.inline([header])[0]
        return header, answer

    def _header(self, place: Place, base: str, wanted: int, overlay: str) -> Header:
        if transfer_syntax(place.syntax).deflated:
            wanted = place.size
        wanted = min(wanted or place.pixels or _PREFIX, place.size)
        try:
            with self._store.open(place.store_key) as opened:
                data = opened.pread(wanted, place.offset)
                assumed = self._character_set(lambda: _receipt(opened, place))
        except (IsocenterError, OSError):
            log.error("packs.object_unreadable", key=place.store_key)
            data, wanted, assumed = b"", place.size, ""
        uri = base + quote(place.sop_uid, safe="") + "/bulkdata"
        return Header(data, place.syntax, wanted >= place.size, uri, assumed, overlay)


def _base(root: str, study_uid: str, series_uid: str) -> str:
    study, series = quote(study_uid, safe=""), quote(series_uid, safe="")
    return f"{root}/studies/{study}/series/{series}/instances/"


def _identity(place: Place, one: Series) -> bytes:
    """What is known of an object whose header can't be read."""
    facts = ((0x00080016, place.sop_class), (0x00080018, place.sop_uid), (0x0020000D, one.study_uid))
    members = [json_model.element(tag, "UI", value) for tag, value in (*facts, (0x0020000E, one.series_uid))]
    return json_model.data_set(members)
