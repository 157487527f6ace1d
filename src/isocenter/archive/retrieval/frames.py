"""Frames of stored pixel data, as bytes: by the index's frame table, else from the object itself (PS3.3 C.7.6.3, PS3.5
8.2 and A.4). Nothing is decoded: frames of compressed pixel data come as their codec's stream.
"""

from isocenter.archive.retrieval.instances import Located, Reader
from isocenter.dicom.deflate import inflate
from isocenter.dicom.headers import Read
from isocenter.dicom.scan import Scan, scan_file
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.imaging import frames as walked
from isocenter.imaging.frames import Frames
from isocenter.imaging.pixels import WANTED, Pixels, described
from isocenter.index import frames as tables


def frames_of(located: Located, table: bytes | None, reader: Reader) -> Frames:
    """The frames of an object that `reader` reads, by its frame table if it has one; valid while `reader` is open.

    Raises Refused: NOT_ACCEPTABLE where there are no pixels, or frames can't be told apart.
    """
    facts = transfer_syntax(located.syntax)
    if table is None or facts.big_pixels:  # how wide words are only the object tells
        return _walked(located, reader)
    syntax = located.syntax if facts.encapsulated else EXPLICIT_LE
    return Frames(syntax, tables.unpack(bytes(table)), reader.at)


def described_frames(located: Located, table: bytes | None, reader: Reader) -> tuple[Frames, Pixels]:
    """The same with what describes them, which is read from the object's header."""
    facts = transfer_syntax(located.syntax)
    if table is None or facts.big_pixels or facts.deflated:
        found = _walked(located, reader)
        return found, found.pixels
    header = _scanned(reader.at, reader.size, located.syntax)
    return frames_of(located, table, reader), described(header)


def _walked(located: Located, reader: Reader) -> walked.FrameBytes:
    read: Read = reader.at
    size, syntax = reader.size, located.syntax
    if transfer_syntax(syntax).deflated:
        whole = inflate(reader.pread(size, 0))
        read, size, syntax = (lambda at, n: whole[at : at + n]), len(whole), EXPLICIT_LE
    found = _scanned(read, size, syntax)
    return walked.frames_of(found, described(found), read, size)


def _scanned(read: Read, size: int, syntax: str) -> Scan:
    return scan_file(lambda n, at: read(at, n), size, syntax, WANTED)
