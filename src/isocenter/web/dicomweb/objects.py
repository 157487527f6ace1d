"""Which representation of an object a client gets, and its bytes as a Part 10 file (PS3.18 8.7.3, 10.4).

Without a transfer syntax in Accept the default is Explicit VR Little Endian; `*` means as stored. In Implicit VR Little
Endian and Explicit VR Big Endian nothing leaves, whatever is asked for (PS3.18 8.7.3). Objects are converted among the
native syntaxes, and transcoded (`leaving`) where that loses nothing, or where the installation lets clients ask for a
syntax that loses. Video leaves as it is stored or not at all.
"""

from collections.abc import Iterator
from functools import lru_cache

from isocenter.archive.leaving import overlaid
from isocenter.archive.retrieval.instances import Located, Reader, reader
from isocenter.dicom.convert import Conversion, can_convert
from isocenter.dicom.part10 import outgoing_header
from isocenter.dicom.uids import EXPLICIT_BE, EXPLICIT_LE, name_of, transfer_syntax
from isocenter.imaging.plan import may_transcode
from isocenter.store.api import Store
from isocenter.web import media
from isocenter.web.media import MediaType
from isocenter.web.reply import SLICE

AS_STORED = "*"


ZIP = "application/zip"


def stays_here(syntax: str) -> bool:
    """Whether nothing leaves in this transfer syntax."""
    return syntax == EXPLICIT_BE or transfer_syntax(syntax).implicit


def leaves_in(syntax: str) -> bool:
    """Whether frames by themselves leave in this transfer syntax: there is none deflated as a whole."""
    return not stays_here(syntax) and not transfer_syntax(syntax).deflated


def unchanged_syntax(located: Located) -> str:
    """The transfer syntax of an object whose pixels are left alone."""
    return EXPLICIT_LE if stays_here(located.syntax) else located.syntax


class Wish:
    """One way that the client takes objects: in parts or single, in which transfer syntax."""

    __slots__ = ("any_type", "multipart", "syntax", "zipped")

    def __init__(self, multipart: bool, syntax: str, any_type: bool, zipped: bool = False) -> None:
        self.multipart, self.syntax, self.any_type, self.zipped = multipart, syntax, any_type, zipped

    def contained_like(self, other: "Wish") -> bool:
        """Whether both are for parts, or for one object by itself."""
        return not other.zipped and self.multipart == other.multipart

    def syntax_for(self, located: Located, *, lossy: bool = False) -> str | None:
        """The transfer syntax that the object leaves in, None if it can't in a way that is asked for, as far as its
        stored syntax tells. `lossy`: one that loses is followed where it is named.

        Who takes any type gets compressed objects as they are, and so does who names no syntax for video, which nobody
        wants decoded.
        """
        stored = located.syntax
        barred = stays_here(stored)
        if self.syntax in (AS_STORED, stored) and not barred:
            return stored
        if self.syntax and self.syntax != AS_STORED:
            if stays_here(self.syntax):
                return None
            return self.syntax if may_transcode(stored, self.syntax, lossy=lossy) else None
        if barred or can_convert(stored, EXPLICIT_LE):
            return EXPLICIT_LE if can_convert(stored, EXPLICIT_LE) else None
        if self.any_type or transfer_syntax(stored).video:
            return stored
        return EXPLICIT_LE if may_transcode(stored, EXPLICIT_LE) else None


def wishes(accepted: list[MediaType]) -> list[Wish]:
    """The acceptable ways, best first. No Accept, or `*/*`, stands for multipart in the default syntax."""
    if not accepted:
        return [Wish(True, "", True)]
    found = []
    for kind in accepted:
        if kind.root == ZIP:
            found.append(Wish(False, kind.syntax or AS_STORED, False, zipped=True))
            continue
        any_type = kind.root in ("*/*", "*")
        if any_type or media.covers(kind.root, media.DICOM):
            multipart = kind.multipart or kind.name in ("*/*", "*", "multipart/*")
            found.append(Wish(multipart, kind.syntax, any_type))
    return found


def refusal(located: Located) -> str:
    """What to tell a client that asked for an object in a way that isn't there."""
    return (
        f"an object is stored as {located.syntax} ({name_of(located.syntax)}) and can't be had in a transfer syntax "
        f'that Accept names; ask for {media.MULTIPART}; type="{media.DICOM}"; transfer-syntax=*'
    )


def file_length(located: Located, syntax: str) -> int | None:
    """Bytes of the object as a file in `syntax`; None where it takes a conversion or an edit to know."""
    if syntax != located.syntax or located.overlay:
        return None
    return header_length(located, syntax) + located.size


def header_length(located: Located, syntax: str) -> int:
    """Bytes of the file header that `pieces` begins with."""
    return _header_length(*(len(text) + len(text) % 2 for text in (located.sop_class, located.sop_uid, syntax)))


@lru_cache(maxsize=4096)
def _header_length(sop_class: int, sop_instance: int, syntax: int) -> int:
    return len(outgoing_header("1" * sop_class, "1" * sop_instance, "1" * syntax))


def pieces(store: Store, located: Located, syntax: str, lead: bytes = b"") -> Iterator[bytes]:
    """`lead`, then the object as a file in `syntax`, in slices. Reads, so run it in a thread."""
    with reader(store, located) as opened:
        edited = overlaid(opened, located)
        sop_uid = edited.sop_uid if edited is not None else located.sop_uid
        header = lead + outgoing_header(located.sop_class, sop_uid, syntax)
        if edited is not None:
            found = edited.pieces() if syntax == located.syntax else edited.converted(syntax)
            yield header
            yield from found
            return
        if syntax == located.syntax:
            yield header
            at = 0
            while at < located.size:
                piece = opened.pread(SLICE, at)
                if not piece:
                    raise OSError("a stored object is shorter than its index row says")
                yield piece
                at += len(piece)
            return
        conversion = _conversion(opened, located, syntax)
        yield header
        yield from conversion.pieces()


def converted_length(store: Store, located: Located, syntax: str) -> int:
    """Bytes of the object as a file, edited or in another syntax. Reads the object's header."""
    with reader(store, located) as opened:
        edited = overlaid(opened, located)
        if edited is not None:
            header = header_length(located._replace(sop_uid=edited.sop_uid), syntax)
            same = syntax == located.syntax
            return header + (edited.size() if same else sum(map(len, edited.converted(syntax))))
        if syntax == located.syntax:
            return header_length(located, syntax) + located.size
        return header_length(located, syntax) + _conversion(opened, located, syntax).size()


def _conversion(opened: Reader, located: Located, syntax: str) -> Conversion:
    return Conversion(opened.at, located.size, located.syntax, syntax)
