"""Retrieve Rendered Imaging Document Set (PS3.18-2017a 6.4.2): pictures, or what else is asked for, of documents.

The parameters of a document mean what those of the URI service of the same name mean, and are read as those are.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from isocenter.archive.retrieval.contained import contained_in, may_contain
from isocenter.archive.retrieval.instances import Located, locate_one, reader
from isocenter.errors import IsocenterError, Reason, Retriable
from isocenter.imaging.picture import JPEG
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.dicomweb.leaving import Choice, Leaving
from isocenter.web.dicomweb.picture_media import Wish
from isocenter.web.problem import Problem
from isocenter.web.wado_uri.parameters import PICTURE, Asked, asked_of
from isocenter.web.wado_ws.documents import Document, Found
from isocenter.web.wado_ws.request import Wanted
from isocenter.web.wado_ws.results import Result, Results, Waiting
from isocenter.web.wado_ws.retrieving import Choosing
from isocenter.web.wado_ws.vocabulary import Code
from isocenter.web.wado_ws.writing import Attachment, Trouble, identity, text_element

_ELEMENT: Final = "wado:RenderedDocumentResponse"
_CORNERS: Final = ("Xmin", "Ymin", "Xmax", "Ymax")
_ECHOED: Final = (
    "Annotation",
    "Rows",
    "Columns",
    "Region",
    "WindowWidth",
    "WindowCenter",
    "ImageQuality",
    "FrameNumber",
)
"""Parameters that the answer repeats, in the order of its schema."""
_CODES: Final[Mapping[Reason, Code]] = {
    Reason.NOT_FOUND: Code.NO_FRAME,
    Reason.NOT_ACCEPTABLE: Code.FORMAT_UNAVAILABLE,
    Reason.BAD_REQUEST: Code.INVALID_PARAMETER,
}


class _Made(NamedTuple):
    """A document in the form that is asked for: bytes that wait, or an object that leaves as it is read."""

    media_type: str
    stretch: tuple[int, int] = (0, 0)
    leaving: Leaving | None = None


class _Unable(Exception):
    """A document that can't be had in the form that is asked for."""

    def __init__(self, code: Code, comment: str) -> None:
        super().__init__(comment)
        self.code = code


def rendered(call: Call, found: Found) -> Results:
    """The documents. Pictures wait until all are there, since what is wrong is told first."""
    waiting = Waiting(call.context.settings.folder, call.context.settings.floor)
    renderer = _Renderer(call, waiting)
    made: list[_Made] = []
    results: list[Result] = []
    troubles = list(found.troubles)
    try:
        for each in found.documents:
            try:
                one = renderer.made(each)
            except _Unable as unable:
                troubles.append(Trouble(each.wanted.document, unable.code, str(unable)))
                continue
            except Retriable:
                raise
            except IsocenterError as failure:
                code = _CODES.get(failure.reason, Code.PROCESSING_FAILURE)
                troubles.append(Trouble(each.wanted.document, code, failure.comment))
                continue
            made.append(one)
            results.append(Result(_about(each.wanted), one.media_type))
    except BaseException:
        waiting.close()
        raise
    troubles += renderer.warnings
    return Results(_ELEMENT, results, troubles, _attachments(waiting, made), closing=waiting.close)


class _Renderer:
    """Makes what is asked for of documents; `warnings` gathers what could not be done quite so."""

    def __init__(self, call: Call, waiting: Waiting) -> None:
        self._call, self._waiting = call, waiting
        self._rendering = call.context.rendering
        self._choosing = Choosing(call)
        self.warnings: list[Trouble] = []

    def made(self, document: Document) -> _Made:
        """One document. Raises _Unable, IsocenterError."""
        wanted, located = document
        asked = _asked(wanted)
        for kind in wanted.content_types or (JPEG,):
            if kind.partition(";")[0].strip() == media.DICOM:
                return self._object(located)
            wish = Wish(kind, multipart=False)
            if may_contain(located):
                if (made := self._contained(located, wish)) is not None:
                    return made
            elif (found := wish.pick(self._rendering.renderable(located))) is not None:
                return self._picture(located, asked, found)
        raise _Unable(Code.FORMAT_UNAVAILABLE, "the document can't be had in a media type of the list")

    def _object(self, located: Located) -> _Made:
        syntax = self._choosing.syntax_for(located)
        if syntax is None:
            raise _Unable(Code.FORMAT_UNAVAILABLE, self._choosing.refusal(located).comment)
        choice = Choice(located, syntax, self._choosing.spare(located))
        return _Made(media.DICOM, leaving=Leaving(self._call.context, choice))

    def _contained(self, located: Located, wish: Wish) -> _Made | None:
        with reader(self._call.context.store, located) as opened:
            found = contained_in(located, opened)
            kind = wish.pick(found.media_types) if found is not None else None
            if found is None or kind is None:
                return None
            stretches = [self._waiting.add(piece) for piece in found.pieces(0, found.length)]
        start = stretches[0][0] if stretches else 0
        return _Made(kind, (start, found.length))

    def _picture(self, located: Located, asked: Asked, kind: str) -> _Made:
        frames = (asked.frame,) if asked.frame is not None else ()
        picture = asked.picture._replace(media_type=kind)
        found = self._rendering.rendered(located, frames, picture, self._state(located, asked))
        for warning in found.warnings:
            self.warnings.append(Trouble(located.sop_uid, Code.UNSUPPORTED_PARAMETER, warning, warning=True))
        return _Made(found.media_type, self._waiting.add(found.data))

    def _state(self, located: Located, asked: Asked) -> Located | None:
        """The presentation state that is asked for: one of the same study. Raises _Unable."""
        if asked.presentation is None:
            return None
        call = self._call
        found = locate_one(call.context.database, located.study_uid, *asked.presentation, call.access, call.view)
        if found is None:
            raise _Unable(Code.NO_PRESENTATION, "there is no such presentation state")
        return found


def _asked(wanted: Wanted) -> Asked:
    """What the parameters say. Raises _Unable."""
    given = dict(wanted.parameters)
    if "Region" not in given and all(name in given for name in _CORNERS):
        given["Region"] = ",".join(given[name] for name in _CORNERS)
    known = {name.lower() for name in PICTURE}
    query = [("requestType", "WADO"), ("studyUID", wanted.study), ("seriesUID", wanted.series)]
    query += [("objectUID", wanted.document)]
    query += [(name, text) for name, text in given.items() if name.lower() in known]
    try:
        return asked_of(query)
    except Problem as wrong:
        raise _Unable(Code.INVALID_PARAMETER, wrong.detail) from wrong


def _about(wanted: Wanted) -> str:
    """What the response element says before the picture itself."""
    echoed = "".join(
        text_element(f"wado:{name}", wanted.parameters[name]) for name in _ECHOED if wanted.parameters.get(name)
    )
    return identity(wanted, "wado:SourceDocumentUniqueId") + echoed


def _attachments(waiting: Waiting, made: list[_Made]) -> Iterator[Attachment]:
    for each in made:
        if each.leaving is not None:
            each.leaving.begun().settled()
            yield Attachment(each.media_type, each.leaving.pieces())
            each.leaving.close()
        else:
            yield Attachment(each.media_type, waiting.pieces(*each.stretch))
