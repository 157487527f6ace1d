"""Which transfer syntaxes are accepted and proposed, in which order of preference.

An order is data: the acceptor takes the first of its own list that was proposed (I-CTX-02), unless the AE prefers the
proposer's order (M-ASSOC-09). The default never makes a peer that offers everything compress lossily.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final

from isocenter.declarations.presets import PRESETS, Preset
from isocenter.dicom.uids import (
    DEFLATED_LE,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    TransferSyntax,
    registry,
    transfer_syntax,
)


class Choice(StrEnum):
    """Whose order decides where several proposed syntaxes are acceptable."""

    ACCEPTOR = "acceptor"
    PROPOSER = "proposer"


_JPEG: Final = "1.2.840.10008.1.2.4."
RLE: Final = "1.2.840.10008.1.2.5"
_PRIVATE: Final = ("1.2.840.113619.5.2", "1.2.840.10008.1.20")

NON_STORAGE: Final = (EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE)
"""What contexts other than storage take, in this order (I-CTX-03)."""


@cache
def all_syntaxes() -> tuple[str, ...]:
    """Everything that may carry an object, in the default order: Explicit VR Little Endian, Implicit, other native,
    lossless, lossy, video, then what a peer offers that has nothing better (PS3.5 10, PS3.6 A)."""
    known = [uid for uid, entry in registry().items() if entry.kind == "Transfer Syntax"]
    return tuple(sorted({*known, *_PRIVATE, *_FURTHER}, key=_rank))


_FURTHER: Final = (f"{_JPEG}110", f"{_JPEG}111", f"{_JPEG}112", "1.2.840.10008.1.2.8.1")
_LOSSLESS_ORDER: Final = (f"{_JPEG}90", f"{_JPEG}80", f"{_JPEG}70", f"{_JPEG}57", f"{_JPEG}201", f"{_JPEG}202", RLE)
"""Among lossless syntaxes: what most peers decode first."""
_LOSSY_ORDER: Final = (f"{_JPEG}50", f"{_JPEG}51", f"{_JPEG}91", f"{_JPEG}81")


def _rank(uid: str) -> tuple[int, int, tuple[int, ...]]:
    syntax = transfer_syntax(uid)
    order = NON_STORAGE if not syntax.encapsulated else _LOSSY_ORDER if syntax.lossy else _LOSSLESS_ORDER
    position = order.index(uid) if uid in order else len(order)
    return _group(syntax), position, tuple(map(int, uid.split(".")))


def _group(syntax: TransferSyntax) -> int:
    """0 native, 1 lossless, 2 lossy, 3 video, 4 private or with a reference instead of pixels."""
    if syntax.video:
        return 3
    if syntax.encapsulated:
        return 2 if syntax.lossy else 1
    return 0 if syntax.uid in NON_STORAGE else 4


def _jpeg(*numbers: int) -> tuple[str, ...]:
    return tuple(f"{_JPEG}{n}" for n in numbers)


# M-ASSOC-11
_MARIE: Final = (
    IMPLICIT_LE,
    EXPLICIT_LE,
    EXPLICIT_BE,
    DEFLATED_LE,
    RLE,
    *_jpeg(50, 51, 57, 70, 80, 81, 90, 91, 100, 101, 102, 103, 107),
)
STORAGE_ORDERS: Final[Mapping[Preset, tuple[str, ...]]] = MappingProxyType(
    {
        # I-CTX tables 3.2 and 3.10
        "archive": (*NON_STORAGE, *_jpeg(70, 50, 51, 57, 90, 91, 100, 101, 102, 103), RLE),
        "technologist": (*NON_STORAGE, *_jpeg(70, 50, 51, 57, 90, 91, 100, 101, 102, 103)),  # T3.48
        "pacs": _MARIE,
        "viewer": _MARIE,
        # X-VIEW-02, X-QR-40
        "workstation": (EXPLICIT_LE, EXPLICIT_BE, IMPLICIT_LE),
        "query-server": (*_jpeg(50), EXPLICIT_LE, IMPLICIT_LE),
        "storage-server": (*_jpeg(50), EXPLICIT_LE, IMPLICIT_LE),
        # P-EXP T71, X-MOD-15, X-MOD-37, S-STORE-TS
        "bridge": (EXPLICIT_LE, IMPLICIT_LE),
        "modality": (EXPLICIT_LE, IMPLICIT_LE),
        "import": (EXPLICIT_LE, IMPLICIT_LE),
        "ris": (EXPLICIT_LE, IMPLICIT_LE),
    }
)
"""Storage lists of the catalogue's systems, in the order of their tables."""

CHOICES: Final[Mapping[Preset, Choice]] = MappingProxyType(
    {
        **dict.fromkeys(PRESETS, Choice.ACCEPTOR),
        "pacs": Choice.PROPOSER,
        "viewer": Choice.PROPOSER,
    }
)
"""Whose order decides, by preset (I-CTX-02, M-ASSOC-09)."""


def storage_order(preset: Preset = "default", *, only_listed: bool = False) -> tuple[str, ...]:
    """The syntaxes of storage contexts by preference. A preset's own come first; all others that may carry an object
    follow unless `only_listed`, so that nothing is refused that can be kept. KeyError for an unknown preset."""
    if preset == "default":
        return all_syntaxes()
    listed = STORAGE_ORDERS[preset]
    if only_listed:
        return listed
    return (*listed, *(uid for uid in all_syntaxes() if uid not in listed))


def choose(proposed: tuple[str, ...], order: tuple[str, ...], by: Choice = Choice.ACCEPTOR) -> str | None:
    """The syntax to accept of those proposed, None if there is none."""
    first, second = (order, proposed) if by is Choice.ACCEPTOR else (proposed, order)
    acceptable = frozenset(second)
    return next((uid for uid in first if uid in acceptable), None)
