"""What has to go from an instance that is retrieved without its bulk data: PS3.4 Z.1.3."""

from typing import Final

from isocenter.archive.retrieval.instances import Located, Reader
from isocenter.dicom.dataset import DataSet, Element, items
from isocenter.dicom.overlay import Changes
from isocenter.dicom.scan import scan_file
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax

_WAVEFORMS, _WAVEFORM_DATA = 0x54000100, 0x54001010
_PLAIN: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010, 0x7FE00001, 0x7FE00002, 0x00287FE0, 0x56000020, 0x00420011)
"""Pixel data of all kinds with its offset tables, Pixel Data Provider URL, Spectroscopy Data, Encapsulated Document."""
_REPEATING: Final = tuple(
    (group << 16) + element
    for group_of, element in ((0x6000, 0x3000), (0x5000, 0x3000), (0x5000, 0x200C))
    for group in range(group_of, group_of + 0x20, 2)
)
"""Overlay Data, Curve Data, Audio Sample Data."""


def without_bulk(located: Located) -> Located:
    """The instance as it leaves without bulk data: nothing is encapsulated any more."""
    facts = transfer_syntax(located.syntax)
    return located._replace(syntax=EXPLICIT_LE) if facts.encapsulated else located


def bulk_data_gone(located: Located, reader: Reader) -> Changes:
    """The changes that take the bulk data out of an instance. Raises MalformedDataSet."""
    changes: dict[int, Element | None] = dict.fromkeys((*_PLAIN, *_REPEATING))
    found = scan_file(reader.pread, reader.size, located.syntax, frozenset({_WAVEFORMS}))
    waveforms = found.elements.get(_WAVEFORMS)
    if waveforms is not None:
        changes[_WAVEFORMS] = Element("SQ", tuple(map(_silent, items(waveforms.value, found.encoding))))
    return changes


def _silent(waveform: DataSet) -> DataSet:
    return {tag: element for tag, element in waveform.items() if tag != _WAVEFORM_DATA}
