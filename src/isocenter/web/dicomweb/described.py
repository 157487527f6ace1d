"""STOW-RS bodies of metadata and bulk data (PS3.18 8.6.2, 10.5): `application/dicom+json` or `application/dicom+xml`.

The parts may come in any order. They wait in one unnamed file of the data folder until the body has ended; then each
object is put together and goes to ingest as a stream. Compressed frames of one object come as parts of the same
Content-Location, or of that followed by `/frames/` and a number.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any, Final, NamedTuple

import msgspec

from isocenter import telemetry
from isocenter.archive.ingest import Origin
from isocenter.dicom import xml_reading
from isocenter.dicom.assembling import Assembly, Value
from isocenter.dicom.json_reading import text_of
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.errors import IsocenterError, Reason, Refused, Retriable
from isocenter.web import media
from isocenter.web.body import Inflater
from isocenter.web.dicomweb import frame_media
from isocenter.web.dicomweb.incoming import Gathering, Incoming, Receiving, Taken
from isocenter.web.multipart import Parser

log = telemetry.logger("web.stow")

MODELS: Final = (media.JSON, media.PLAIN_JSON, media.XML)
"""Media types of metadata."""
_LONGEST: Final = 64 << 20
"""Bytes of one metadata part, which is parsed in memory."""
_SLICE: Final = 1 << 20
_LOOK: Final = 16 << 20
"""Bytes of a part after which the free space is looked at again."""
_FRAME: Final = re.compile(r"(.+)/frames/(\d{1,9})/?\Z")
_SOP_CLASS, _SOP_INSTANCE, _STUDY, _PIXELS = "00080016", "00080018", "0020000D", "7FE00010"
_SYNTAXES: Final = ("00020010", "00083002")
_Model = dict[str, Any]


class _Stretch(NamedTuple):
    """A part as it lies in the file."""

    kind: media.MediaType
    offset: int
    length: int


class Described(Incoming):
    """One body: `taken` is filled when it ends."""

    def __init__(
        self,
        ingest: Receiving,
        origin: Callable[[], Origin],
        study: str,
        parser: Parser | None,
        inflater: Inflater | None,
        finishers: Executor,
        gathering: Gathering,
        *,
        kind: str = media.JSON,
        folder: str = "",
        floor: int = 0,
    ) -> None:
        """`kind`: the media type of metadata without a type of its own; `folder`: where parts wait, '' for the
        system's; `floor`: bytes that must stay free there."""
        self._floor = floor
        self._kind = kind
        self._file = tempfile.TemporaryFile(dir=folder or None)  # noqa: SIM115 - as long as the request
        self._models: list[_Stretch] = []
        self._values: dict[str, list[tuple[int, _Stretch]]] = {}
        super().__init__(ingest, origin, study, parser, inflater, finishers, gathering)

    def abandon(self) -> None:
        """The body broke off: nothing of it was an object yet."""
        self._drop()
        self._complete = None
        self._file.close()

    @property
    def open(self) -> bool:
        """The file is there."""
        return not self._file.closed

    def _begin(self, headers: dict[str, str]) -> None:
        self._settle(1)
        kind = media.parse(headers.get("content-type", "")) or media.MediaType(self._kind, {})
        location = headers.get("content-location") or headers.get("content-id", "")
        self._part = _Waiting(self._file.fileno(), kind, location.strip(" <>"), self._floor)

    def _settle(self, allowed: int) -> None:
        part, self._complete = self._complete, None
        if isinstance(part, _Waiting):
            self._keep(part)
        if not allowed:
            self._gathering.complete()  # they are stored one after the other
            self._store()
            self._file.close()

    def _keep(self, part: "_Waiting") -> None:
        stretch = _Stretch(part.kind, part.offset, part.length)
        if part.kind.name in (media.JSON, media.XML) or (part.kind.name in MODELS and not part.location):
            self._models.append(stretch)
            return
        if part.kind.name == media.DICOM or not part.location:
            self.unsupported.add(part.kind.name)
            return
        framed = _FRAME.match(part.location)
        name, number = (framed[1], int(framed[2])) if framed else (part.location, 0)
        self._values.setdefault(name, []).append((number, stretch))

    # --- once all parts are there

    def _store(self) -> None:
        for stretch in self._models:
            try:
                for model in self._read(stretch):
                    self.taken.append(self._stored(model))
            except IsocenterError as refusal:
                log.warning("stow.refused", reason=refusal.reason)
                self.taken.append(Taken(refusal=refusal))

    def _read(self, stretch: _Stretch) -> Iterator[_Model]:
        """The objects that a part describes. Raises Refused."""
        if stretch.length > _LONGEST:
            raise Refused(Reason.TOO_LARGE, "the metadata is too large")
        data = os.pread(self._file.fileno(), stretch.length, stretch.offset)
        if stretch.kind.name == media.XML:
            yield xml_reading.read(data)
            return
        try:
            alone = data.lstrip()[:1] == b"{"
            for each in [msgspec.Raw(data)] if alone else msgspec.json.decode(data, type=list[msgspec.Raw]):
                yield msgspec.json.decode(each, type=_Model)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise Refused(Reason.BAD_REQUEST, "the metadata is not DICOM JSON") from fault

    def _stored(self, model: _Model) -> Taken:
        named = Taken(_uid(model, _SOP_CLASS), _uid(model, _SOP_INSTANCE))
        try:
            if not named.sop_class or not named.sop_uid:
                raise Refused(Reason.CANNOT_UNDERSTAND, "SOP Class or SOP Instance UID is missing")
            if self._study and _uid(model, _STUDY) != self._study:
                raise Refused(Reason.STUDY_MISMATCH, "the object is of another study than the request names")
            return Taken(*named.names, stored=self._received(model, named))
        except IsocenterError as refusal:
            log.warning("stow.refused", reason=refusal.reason, passing=isinstance(refusal, Retriable))
            return Taken(*named.names, refusal=refusal)

    def _received(self, model: _Model, named: Taken) -> Any:
        syntax = self._syntax(model)
        assembly = Assembly(model, self._find, transfer_syntax(syntax).encapsulated)
        reception = self._ingest.receive(self._origin(), named.sop_class, named.sop_uid, syntax)
        try:
            for piece in assembly.pieces():
                reception.write([piece])
        except BaseException:
            reception.abandon()
            raise
        return reception.finish()

    def _find(self, uri: str) -> Sequence[Value]:
        return [self._value(stretch) for stretch in self._stretches(uri)]

    def _stretches(self, uri: str) -> list[_Stretch]:
        found = self._values.get(uri.strip()) or self._values.get(uri.strip().removeprefix("cid:"), [])
        return [stretch for _, stretch in sorted(found, key=lambda one: one[0])]

    def _value(self, stretch: _Stretch) -> Value:
        def pieces() -> Iterator[bytes]:
            for at in range(0, stretch.length, _SLICE):
                size = min(_SLICE, stretch.length - at)
                yield os.pread(self._file.fileno(), size, stretch.offset + at)

        return Value(stretch.length, pieces)

    def _syntax(self, model: _Model) -> str:
        """The transfer syntax of the object: that of its pixel data's part (PS3.18 8.7.3). Raises Refused."""
        member = model.get(_PIXELS)
        uri = member.get("BulkDataURI") if isinstance(member, dict) else None
        stretches = self._stretches(uri) if isinstance(uri, str) else []
        if not stretches:
            return EXPLICIT_LE
        kind = stretches[0].kind
        told = [uid for tag in _SYNTAXES if (uid := _uid(model, tag))]
        syntax = kind.syntax or frame_media.syntax_of(kind.name, told)
        facts = transfer_syntax(syntax) if syntax else None
        if facts is None:
            raise Refused(Reason.TRANSFER_SYNTAX_NOT_SUPPORTED, "pixel data of an unknown media type")
        return syntax if facts.encapsulated else EXPLICIT_LE


class _Waiting:
    """A part on its way into the file."""

    def __init__(self, file: int, kind: media.MediaType, location: str, floor: int) -> None:
        self._file, self.kind, self.location, self._floor = file, kind, location, floor
        self._looked = -_LOOK
        self.offset = os.lseek(file, 0, os.SEEK_END)
        self.length = 0

    def write(self, view: memoryview) -> None:
        """The next bytes. Raises Retriable where the disk takes no more."""
        try:
            if self.length - self._looked >= _LOOK:
                self._look()
            while view:
                written = os.write(self._file, view)
                self.length += written
                view = view[written:]
        except OSError as fault:
            raise Retriable(Reason.OUT_OF_STORAGE, "no space for the parts of the body") from fault

    def _look(self) -> None:
        self._looked = self.length
        disk = os.fstatvfs(self._file)
        if disk.f_bavail * disk.f_frsize < self._floor:
            raise Retriable(Reason.OUT_OF_STORAGE, "no space for the parts of the body")

    def finish(self) -> Taken:
        """Nothing is stored of a part by itself."""
        return Taken()

    def abandon(self) -> None:
        """Nothing to let go of: the file has no name."""


def _uid(model: _Model, tag: str) -> str:
    member = model.get(tag)
    try:
        return text_of(member).partition("\\")[0].strip("\0 ") if isinstance(member, dict) else ""
    except (ValueError, TypeError):
        return ""
