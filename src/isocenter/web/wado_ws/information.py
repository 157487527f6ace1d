"""Retrieve Imaging Document Set Metadata (PS3.18-2017a 6.4.3): the Native DICOM Model of documents without their bulk
data, or what XPaths select from it."""

from collections.abc import Iterator

from isocenter.archive.xpaths.workers import Unanswerable
from isocenter.web.call import Call
from isocenter.web.wado_ws.documents import Document, Found
from isocenter.web.wado_ws.results import Results, Waiting
from isocenter.web.wado_ws.vocabulary import Code
from isocenter.web.wado_ws.writing import Trouble, identity, text_element

_ELEMENT = "wado:DocumentInformationResponse"


def informed(call: Call, found: Found) -> Results:
    """The metadata of the documents. They wait until all are there, since what is wrong is told first."""
    settings = call.context.settings
    waiting = Waiting(settings.folder, settings.floor)
    troubles = list(found.troubles)
    late: Unanswerable | None = None
    try:
        for each in found.documents:
            try:
                if late is not None:  # a request gets the time of one such XPath, not of one for each document
                    raise late
                for piece in _described(call, each):
                    waiting.add(piece)
            except Unanswerable as wrong:
                late = wrong if wrong.late else late
                code = Code.INVALID_PARAMETER if wrong.expression else Code.PROCESSING_FAILURE
                troubles.append(Trouble(each.wanted.document, code, str(wrong)))
    except BaseException:
        waiting.close()
        raise
    return Results(_ELEMENT, (), troubles, iter(()), waiting.pieces(), waiting.close)


def _described(call: Call, document: Document) -> Iterator[bytes]:
    wanted, located = document
    model = call.context.packs.instance(located, call.root)
    selected = call.context.selector.select(model, wanted.expressions)
    frame = wanted.parameters.get("FrameNumber", "")
    about = identity(wanted) + (text_element("wado:FrameNumber", frame) if frame else "")
    yield f"<{_ELEMENT}>{about}<wado:XPathResponseList>".encode()
    for each in selected:
        yield b"<wado:XPathResponse>%b</wado:XPathResponse>" % each
    yield f"</wado:XPathResponseList></{_ELEMENT}>".encode()
