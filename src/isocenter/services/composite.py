"""Retrieval by SOP Instance UID alone: Composite Instance Root Retrieve (PS3.4 Y), of whole instances or of frames, and
Composite Instance Retrieve Without Bulk Data (PS3.4 Z)."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from isocenter.archive.retrieval.extract import extract
from isocenter.archive.retrieval.frame_list import frame_keys
from isocenter.archive.retrieval.header import bulk_data_gone, without_bulk
from isocenter.archive.retrieval.instances import Located, Selection, locate, locate_framed, reader
from isocenter.database import Database
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, string_of, strings_of
from isocenter.dicom.overlay import merged
from isocenter.errors import Reason, Refused, Retriable
from isocenter.exchange.sending import Opened, Opener, Sendable
from isocenter.store.api import Store

MOVE_CLASSES: Final = frozenset({uids.COMPOSITE_INSTANCE_ROOT_MOVE})
GET_CLASSES: Final = frozenset({uids.COMPOSITE_INSTANCE_ROOT_GET, uids.COMPOSITE_INSTANCE_WITHOUT_BULK_GET})

_LEVEL, _SOP_INSTANCE = 0x00080052, 0x00080018
_IMAGE, _FRAME = "IMAGE", "FRAME"


def named_uids(identifier: DataSet, sop_class: str) -> tuple[str, ...]:
    """The SOP Instance UIDs of an identifier. Raises Refused(IDENTIFIER_MISMATCH) where it breaks its model's rules."""
    level = string_of(identifier, _LEVEL).upper()
    levels = (_IMAGE,) if sop_class == uids.COMPOSITE_INSTANCE_WITHOUT_BULK_GET else (_IMAGE, _FRAME)
    if level not in levels:
        raise Refused(Reason.IDENTIFIER_MISMATCH, "Query/Retrieve Level is none of the model's")
    named = tuple(uid for uid in strings_of(identifier, _SOP_INSTANCE) if uid)
    if not named:
        raise Refused(Reason.IDENTIFIER_MISMATCH, "SOPInstanceUID must be given")
    if level == _FRAME and len(named) > 1:
        raise Refused(Reason.IDENTIFIER_MISMATCH, "SOPInstanceUID must be given as a single value")
    return named


def wants_frames(identifier: DataSet) -> bool:
    """Whether the retrieval is at FRAME level."""
    return string_of(identifier, _LEVEL).upper() == _FRAME


def instances(database: Database, named: tuple[str, ...], selection: Selection) -> list[Located]:
    """The instances of these UIDs, one for each: of several studies' the first that came."""
    found: dict[str, Located] = {}
    for page in locate(database, selection):
        for each in page:
            first = found.get(each.sop_uid)
            if first is None or (each.received_at, each.id) < (first.received_at, first.id):
                found[each.sop_uid] = each
    return [found[uid] for uid in dict.fromkeys(named) if uid in found]


class WithoutBulk:
    """Opens instances without their bulk data; see `exchange.sending.Opener`."""

    def __init__(self, store: Store, opened: Opener, stored: dict[str, Located]) -> None:
        """`stored` are the instances as they are, by store key; `opened` opens them with what is laid over them."""
        self._store, self._opened, self._stored = store, opened, stored

    def __call__(self, item: Sendable, stack: ExitStack) -> Opened:
        """The data set with bulk data taken out as it leaves."""
        assert isinstance(item, Located)
        located = self._stored[item.store_key]
        found = self._opened(located, stack)
        with reader(self._store, located) as source:
            return found._replace(changes=merged(found.changes, bulk_data_gone(located, source)))


def shorn(items: list[Located]) -> list[Located]:
    """The instances as they are told to the peer that gets them without bulk data."""
    return [without_bulk(each) for each in items]


@contextmanager
def extracted(
    database: Database, store: Store, opened: Opener, located: Located, identifier: DataSet
) -> Iterator[tuple[Located, Opener]]:
    """A new instance of the frames that `identifier` names, in a file of its own until the end of the block: as it is
    told to the peer, and how it is opened. Raises FramesFailure, Refused."""
    keys = frame_keys(identifier)
    framed = locate_framed(database, located.study_uid, located.series_uid, located.sop_uid)
    table = framed[1] if framed is not None else None
    with tempfile.TemporaryFile() as file:
        try:
            with ExitStack() as stack, reader(store, located) as source:
                changes = opened(located, stack).changes
                made = extract(located, table, source, keys, changes, file)
        except OSError as failure:
            raise Retriable(Reason.OUT_OF_RESOURCES, "no room for the new instance") from failure

        def whole(_item: Sendable, _stack: ExitStack) -> Opened:
            return Opened(file.fileno(), 0, made.size)

        yield located._replace(sop_uid=made.sop_uid, syntax=made.syntax, size=made.size, offset=0), whole
