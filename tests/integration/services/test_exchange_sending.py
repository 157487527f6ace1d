"""Stored objects out over an association: what leaves as it is, what is converted, what fails alone."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from archives import CT, MR, NETWORK, Destination, listening, made, sop_uid
from isocenter import dimse
from isocenter.dicom import uids
from isocenter.dimse import ClientAssociation, ProposedContext
from isocenter.errors import IsocenterError, Reason, Refused
from isocenter.exchange.contexts import Choice, proposals
from isocenter.exchange.sending import Opened, Sendable, Sent, accepted_for_storing, send


class Stored(NamedTuple):
    """A file to be sent; `path` None for one that can't be opened."""

    sop_class: str
    sop_uid: str
    syntax: str
    path: Path | None
    size: int


def opened(item: Sendable, stack: ExitStack) -> Opened:
    assert isinstance(item, Stored)
    if item.path is None:
        raise Refused(Reason.NOT_FOUND, "gone")
    file = os.open(item.path, os.O_RDONLY)
    stack.callback(os.close, file)
    return Opened(file, 5, item.size)


def stored(
    folder: Path, number: int, *, sop_class: str = CT, syntax: str = uids.EXPLICIT_LE, data: bytes = b""
) -> Stored:
    """A file with a data set five bytes after its start."""
    path = folder / str(number)
    data = data or made(number, sop_class=sop_class, syntax=syntax).data
    path.write_bytes(b"12345" + data)
    return Stored(sop_class, sop_uid(number), syntax, path, len(data))


@contextmanager
def connected(destination: Destination, items: Sequence[Stored], *, window: int = 1) -> Iterator[ClientAssociation]:
    settings = dimse.Settings(**{name: getattr(NETWORK, name) for name in ("connect", "response", "dimse", "artim")},
                              window=(window, window))  # fmt: skip
    (group,) = proposals({(item.sop_class, item.syntax) for item in items})
    contexts = [ProposedContext(*proposal) for proposal in group]
    with listening(destination), dimse.connect(
        ("127.0.0.1", destination.port), calling="US", called="DEST", contexts=contexts, settings=settings
    ) as association:  # fmt: skip
        yield association


def open_files() -> int:
    """Descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.req("I-SEND-01", "I-SEND-02", "M-SEND-01", "M-SEND-05")
@pytest.mark.parametrize("window", [1, 4])
def test_each_object_has_its_own_fate(tmp_path: Path, window: int) -> None:
    corrupt = made(5).data
    corrupt = corrupt[:-80] + b"\x19\0\x10\x10LO\x10\x27" + b"x" * 72
    items = [
        stored(tmp_path, 1),
        stored(tmp_path, 2, sop_class=MR),
        Stored(CT, sop_uid(3), uids.EXPLICIT_LE, None, 100),
        stored(tmp_path, 4, syntax=uids.MPEG4_HIGH_41),
        stored(tmp_path, 5, data=corrupt),
        stored(tmp_path, 6, syntax=uids.DEFLATED_LE),
        stored(tmp_path, 7)._replace(size=1 << 20),
        stored(tmp_path, 8),
        stored(tmp_path, 9),
    ]
    destination = Destination(
        syntaxes=(uids.IMPLICIT_LE,), classes=frozenset({CT}), statuses={sop_uid(8): 0xB007, sop_uid(9): 0xA700}
    )
    before = open_files()
    with connected(destination, items, window=window) as association:
        fates = list(send(association, items, opened, originator=("MOVER", 7)))
    assert open_files() == before
    assert [fate.item for fate in fates] == items
    assert [(fate.status, fate.failed, fate.warned, fate.left) for fate in fates] == [
        (0x0000, False, False, True),
        (0x0110, True, False, False),  # no context of its class
        (0x0110, True, False, False),  # can't be opened
        (0x0110, True, False, False),  # there is no codec for it
        (0x0110, True, False, False),  # can't be converted
        (0x0000, False, False, True),
        (0x0110, True, False, False),  # shorter than recorded
        (0xB007, False, True, True),
        (0xA700, True, False, True),
    ]
    assert all(fate.comment for fate in fates if not fate.left)
    assert destination.uids == [sop_uid(n) for n in (1, 6, 8, 9)]
    assert destination.received[0].data == made(1, syntax=uids.IMPLICIT_LE).data
    assert destination.received[1].data == made(6, syntax=uids.IMPLICIT_LE).data


def test_what_is_under_way_when_the_peer_goes(tmp_path: Path) -> None:
    items = [stored(tmp_path, n) for n in range(1, 9)]
    destination = Destination(drop_after=3)
    before = open_files()
    fates: list[Sent] = []
    with pytest.raises(IsocenterError), connected(destination, items, window=3) as association:
        fates.extend(send(association, items, opened))
    assert [fate.item for fate in fates] == items[: len(fates)]
    assert len(fates) <= 3
    assert open_files() == before


@pytest.mark.parametrize(
    ("status", "failed", "warned"),
    [(0x0000, False, False), (0x0001, False, True), (0x0107, False, True), (0x0116, False, True), (0xB000, False, True),
     (0xB006, False, True), (0xBFFF, False, True), (0xA700, True, False), (0xC000, True, False), (0x0110, True, False),
     (0x0122, True, False), (0xFE00, True, False), (0xFF00, True, False)],
)  # fmt: skip
def test_statuses(status: int, failed: bool, warned: bool) -> None:
    fate = Sent(Stored(CT, "1.2", uids.EXPLICIT_LE, None, 0), status)
    assert (fate.failed, fate.warned) == (failed, warned)


def test_contexts_on_which_we_may_store(tmp_path: Path) -> None:
    items = [stored(tmp_path, 1), stored(tmp_path, 2, sop_class=MR)]
    destination = Destination(syntaxes=(uids.IMPLICIT_LE, uids.EXPLICIT_LE), classes=frozenset({CT}))
    with connected(destination, items) as association:
        accepted = accepted_for_storing(association)
    assert accepted == {CT: [Choice(1, uids.EXPLICIT_LE), Choice(3, uids.IMPLICIT_LE)]}
