"""A study, series or instance as a ZIP file of Part 10 files with its DICOMDIR (PS3.18 8.6.1.3.1, PS3.10 8, PS3.3 F).

The files go out as they are read; what the directory says of them is gathered meanwhile from the metadata, and the
directory is the last member. Members are "deflated" without compression, so that readers of streams, which accept no
stored member of unknown length, can take them too.
"""

import zipfile
from collections.abc import Iterator
from typing import Final

import msgspec

from isocenter.archive.retrieval.instances import Selection, series_of
from isocenter.dicom.directory import WANTED, Entry, directory
from isocenter.dicom.json_reading import text_of
from isocenter.web.call import Call
from isocenter.web.conditions import tag_of, unchanged
from isocenter.web.dicomweb import objects
from isocenter.web.dicomweb.leaving import Chosen, leavings
from isocenter.web.dicomweb.metadata import objects_of
from isocenter.web.reply import Pieces, Reply

Known = dict[str, tuple[tuple[str, ...], str]]
"""File ID and transfer syntax by SOP Instance UID."""
_LARGE: Final = 1 << 31
_SOP_INSTANCE: Final = "00080018"


def archive(call: Call, chosen: Chosen) -> Reply:
    """The ZIP file. Runs in a thread."""
    state = [f"{one.digest} {one.id} {one.overlay} {syntax}" for one, syntax, _ in chosen]
    headers = {"Content-Type": objects.ZIP, "Vary": "Accept", "ETag": tag_of(objects.ZIP, *state, weak=True)}
    if unchanged(call, headers["ETag"]):
        return Reply(304, headers)
    headers["Content-Disposition"] = 'attachment; filename="dicom.zip"'
    return Reply(200, headers, source=Pieces(_pieces(call, chosen), None), lane=call.context.lanes.retrieve)


def _pieces(call: Call, chosen: Chosen) -> Iterator[bytes]:
    sink = _Sink()
    names = _file_ids(chosen)
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=0) as made:  # type: ignore[call-overload]
        known: Known = {}
        for leaving, name in zip(leavings(call, chosen), names, strict=True):
            known[leaving.located.sop_uid] = (name, leaving.syntax)
            with made.open(_info("/".join(name)), "w", force_zip64=leaving.longest > _LARGE) as member:
                for piece in leaving.pieces():
                    member.write(piece)
                    yield from sink.taken()
            yield from sink.taken()
        made.writestr(_info("DICOMDIR"), directory(_entries(call, chosen, known)))
    yield from sink.taken()


def _info(name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.compress_type = zipfile.ZIP_DEFLATED
    made._compresslevel = 0  # type: ignore[attr-defined]
    made.external_attr = 0o644 << 16
    return made


def _file_ids(chosen: Chosen) -> list[tuple[str, ...]]:
    series: dict[int, int] = {}
    counts: dict[int, int] = {}
    names: list[tuple[str, ...]] = []
    for one, _, _ in chosen:
        number = series.setdefault(one.series, len(series))
        counts[one.series] = counts.get(one.series, -1) + 1
        names.append(("PT000000", "ST000000", f"SE{number:06d}", f"IM{counts[one.series]:06d}"))
    return names


def _entries(call: Call, chosen: Chosen, known: Known) -> Iterator[Entry]:
    for sop_uid, written in _models(call, chosen):
        read = msgspec.json.decode(written, type=dict[str, msgspec.Raw])
        model = {tag: msgspec.json.decode(value) for tag, value in read.items() if tag in WANTED}
        found = known.get(sop_uid or text_of(model.get(_SOP_INSTANCE)))
        if found is not None:
            yield Entry(*found, model)


def _models(call: Call, chosen: Chosen) -> Iterator[tuple[str, bytes]]:
    """The metadata, with the SOP Instance UID that it is stored with where that may be another; else ''."""
    path = call.path
    if "instance" in path or call.departing is not None:
        yield from ((one.sop_uid, call.context.packs.instance(one, call.root)) for one, _, _ in chosen)
        return
    series = (path["series"],) if "series" in path else ()
    named = Selection((), (path["study"],), series, access=call.access, view=call.view)
    yield from (("", written) for written in objects_of(call, series_of(call.context.database, named)))


class _Sink:
    """What the ZIP writer writes to; it can't be told where it is."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> list[bytes]:
        """What was written since."""
        pieces, self._pieces = self._pieces, []
        return pieces
