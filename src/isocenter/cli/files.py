"""DICOM files in folders: what each is, found from its header alone."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isocenter.dicom import part10
from isocenter.dicom.headers import MalformedDataSet, NeedMore
from isocenter.dicom.scan import scan_file
from isocenter.errors import IsocenterError

_HEADER = 1 << 16
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_UIDS = frozenset({_SOP_CLASS, _SOP_INSTANCE})
_NOT_SENT = frozenset({"1.2.840.10008.1.3.10"})  # Media Storage Directory: it describes the medium it lies on


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A file that can be sent (`exchange.sending.Sendable`)."""

    path: Path
    sop_class: str
    sop_uid: str
    syntax: str
    offset: int
    size: int
    """Bytes of the data set."""


def walk(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file of `paths` and, recursively, of the folders among them, in order."""
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                yield from (Path(folder, name) for name in sorted(names))
        else:
            yield path


def read(path: Path) -> DicomFile | None:
    """What a file is; None for what is no DICOM object. Raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            header = part10.read_header(file.read(_HEADER), whole=size <= _HEADER)
        except (MalformedDataSet, NeedMore):
            return None
        sop_class, sop_uid = _identity(file.fileno(), header, size)
    if not sop_class or not sop_uid or sop_class in _NOT_SENT:
        return None
    return DicomFile(path, sop_class, sop_uid, header.syntax, header.offset, size - header.offset)


def _identity(descriptor: int, header: part10.FileHeader, size: int) -> tuple[str, str]:
    """SOP class and instance by the data set, which is what the peer compares with; else by the meta information."""

    def pread(n: int, at: int) -> bytes:
        return os.pread(descriptor, n, header.offset + at)

    try:
        found = scan_file(pread, size - header.offset, header.syntax, _UIDS).elements
    except (NeedMore, IsocenterError):
        return header.sop_class, header.sop_instance
    values = {tag: raw.value.decode("ascii", "replace").strip(" \0") for tag, raw in found.items()}
    return values.get(_SOP_CLASS) or header.sop_class, values.get(_SOP_INSTANCE) or header.sop_instance
