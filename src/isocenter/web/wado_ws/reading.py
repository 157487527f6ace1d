"""Reads the SOAP envelope of a request with expat, element by element; only what a request can say is kept.

A document type declaration is refused before anything in it is looked at, so that there are neither entities to expand
nor files to fetch. Depth, the length of tags and texts, and the number of documents are bounded, so that a body of
`LARGEST` bytes takes a few times that in memory at most.
"""

from typing import Final
from xml.parsers import expat

from isocenter.archive.xpaths.work import Expression
from isocenter.web.wado_ws.faults import Blame, Fault
from isocenter.web.wado_ws.request import Addressing, Request, Wanted
from isocenter.web.wado_ws.vocabulary import (
    ANONYMOUS,
    OPERATIONS,
    SOAP_1_1,
    SOAP_1_2,
    WSA,
    Operation,
)

LARGEST: Final = 16 << 20
"""Bytes of an envelope: some 50,000 documents."""
_CHUNK: Final = 1 << 16
_TAG: Final = 1 << 17
"""Bytes of one tag or comment: what expat has to hold until its end."""
_DEEPEST: Final = 32
_TEXT: Final = 1 << 14
"""Characters of one text that is kept."""
_DOCUMENTS: Final = 50_000
_ELEMENTS: Final = 1_000_000
_PARAMETERS: Final = 32
_LISTED: Final = 64
"""Media types of a document, transfer syntaxes of a request, prefixes in scope of an XPath."""
_EXPRESSIONS: Final = 1000
"""XPaths of a request."""

_ENVELOPE, _HEADER, _BODY = "Envelope", "Header", "Body"
_IN_HEADER, _IN_BODY = 2, 2
"""Depth of header blocks and of the operation."""
_DOCUMENT_REQUESTS: Final = ("DocumentRequest", "RenderedDocumentRequest")
_WRAPPERS: Final = ("ContentTypeList", "CharsetList", "XPathList", "Region")
_ADDRESSES: Final = ("ReplyTo", "FaultTo")


class Reading:
    """One envelope. `soap` and `addressing` tell what is known of it even where it is answered with a fault."""

    def __init__(self) -> None:
        self.soap = ""
        self.action, self.message_id = "", ""
        self._elements = 0
        self._path: list[str] = []
        """Local names of the open elements."""
        self._namespaces: list[str] = []
        self._text: list[str] | None = None
        self._length = 0
        self._not_understood = False
        self._reply_to = ANONYMOUS
        self._operation: Operation | None = None
        self._bound: dict[str, list[str]] = {}
        """Namespaces by prefix, innermost last."""
        self._study, self._series = "", ""
        self._fields: dict[str, str] = {}
        self._types: list[str] = []
        self._expressions: list[Expression] = []
        self._counted = 0
        self._everywhere: list[Expression] = []
        """XPaths that stand outside of any document."""
        self._documents: list[Wanted] = []
        self._syntaxes: list[str] = []

    @property
    def addressing(self) -> Addressing:
        """The headers that the answer refers to."""
        return Addressing(self.action, self.message_id)

    def read(self, envelope: bytes) -> Request:
        """The request. Raises Fault."""
        self._parse(envelope)
        return self._request()

    def _parse(self, envelope: bytes) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = _no_type
        parser.StartNamespaceDeclHandler = self._bind
        parser.EndNamespaceDeclHandler = self._unbind
        try:
            for at in range(0, len(envelope), _CHUNK):
                parser.Parse(envelope[at : at + _CHUNK], False)
                if at + _CHUNK - parser.CurrentByteIndex > _CHUNK + _TAG:
                    raise Fault("a tag is too long")
            parser.Parse(b"", True)
        except (expat.ExpatError, ValueError, LookupError) as fault:  # the latter two: an encoding nobody knows
            raise Fault("the message is not well-formed XML") from fault

    def _request(self) -> Request:
        if self._not_understood:
            raise Fault("a header block that must be understood is not", Blame.MUST_UNDERSTAND)
        if self._operation is None:
            raise Fault("the body names no operation of this service")
        if self._reply_to != ANONYMOUS:
            raise Fault("the answer is sent over the request's own connection", subcode="OnlyAnonymousAddressSupported")
        named = self.action.rpartition(":")[2]
        if named and named != self._operation.action.rpartition(":")[2]:
            raise Fault("the action is none of the operation in the body", subcode="ActionNotSupported")
        if not self._documents:
            raise Fault("the request names no document")
        documents = self._documents
        if self._everywhere:
            outside = tuple(self._everywhere)
            documents = [each if each.expressions else each._replace(expressions=outside) for each in documents]
        return Request(self.soap, self.addressing, self._operation, tuple(documents), tuple(self._syntaxes))

    # --- events

    def _bind(self, prefix: str | None, uri: str | None) -> None:
        self._bound.setdefault(prefix or "", []).append(uri or "")

    def _unbind(self, prefix: str | None) -> None:
        bound = self._bound[prefix or ""]
        bound.pop()
        if not bound:
            del self._bound[prefix or ""]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        depth = len(self._path)
        self._elements += 1
        if depth >= _DEEPEST or self._elements > _ELEMENTS:
            raise Fault("the message is nested too deep, or has too many elements")
        self._text, self._length = [], 0
        if depth == 0:
            self._envelope(namespace, local)
        elif depth == 1 and (namespace != self.soap or local not in (_HEADER, _BODY)):
            raise Fault("the envelope holds something else than a header and a body")
        elif depth == _IN_HEADER and self._path[1] == _HEADER:
            self._block(namespace, attributes)
        elif depth == _IN_BODY and self._path[1] == _BODY:
            self._begin(namespace, local)
        elif local == "StudyRequest":
            self._study, self._series = _uid(attributes.get("studyInstanceUID", "")), ""
        elif local == "SeriesRequest":
            self._series = _uid(attributes.get("seriesInstanceUID", ""))
        elif local in _DOCUMENT_REQUESTS:
            self._fields, self._types, self._expressions = {}, [], []
        self._path.append(local)
        self._namespaces.append(namespace)

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._length += len(text)
            if self._length <= _TEXT:
                self._text.append(text)

    def _end(self, name: str) -> None:
        local = self._path.pop()
        namespace = self._namespaces.pop()
        text = "".join(self._text).strip() if self._text is not None else ""
        too_long, self._text = self._length > _TEXT, None
        if len(self._path) < _IN_HEADER:
            return
        if self._path[1] == _HEADER:
            self._header(namespace, local, text)
            return
        if too_long:
            raise Fault("a text is too long")
        if local in _DOCUMENT_REQUESTS:
            self._document()
        elif local == "TransferSyntaxUID":
            _listed(self._syntaxes, _uid(text))
        elif local == "XPath":
            self._expression(text)
        elif any(each in _DOCUMENT_REQUESTS for each in self._path[3:]):
            self._field(local, text)

    # --- what they say

    def _envelope(self, namespace: str, local: str) -> None:
        if local == _ENVELOPE and namespace in (SOAP_1_2, SOAP_1_1):
            self.soap = namespace
        elif local == _ENVELOPE:
            raise Fault("the message is neither SOAP 1.2 nor 1.1", Blame.VERSION_MISMATCH)
        else:
            raise Fault("the message is no SOAP envelope")

    def _block(self, namespace: str, attributes: dict[str, str]) -> None:
        must = attributes.get(f"{self.soap} mustUnderstand", "").strip() in ("1", "true")
        role = attributes.get(f"{self.soap} role") or attributes.get(f"{self.soap} actor") or ""
        if must and namespace != WSA and not role.endswith("/role/none"):
            self._not_understood = True

    def _header(self, namespace: str, local: str, text: str) -> None:
        if namespace != WSA:
            return
        if local == "Action":
            self.action = text
        elif local == "MessageID":
            self.message_id = text
        elif local == "Address" and self._path[-1] in _ADDRESSES and text != ANONYMOUS:
            self._reply_to = text

    def _begin(self, namespace: str, local: str) -> None:
        if self._operation is not None or (namespace, local) not in OPERATIONS:
            raise Fault("the body holds something else than one request of this service")
        self._operation = OPERATIONS[namespace, local]

    def _field(self, local: str, text: str) -> None:
        if local == "ContentType":
            _listed(self._types, text.lower())
        elif local not in _WRAPPERS or text:
            self._fields[local] = text
            if len(self._fields) > _PARAMETERS:
                raise Fault("a document with too many parameters")

    def _expression(self, text: str) -> None:
        self._counted += 1
        if self._counted > _EXPRESSIONS or len(self._bound) > _LISTED:
            raise Fault("too many XPaths, or prefixes in scope of one")
        prefixes = tuple((prefix, uris[-1]) for prefix, uris in self._bound.items() if prefix)
        inside = any(each in _DOCUMENT_REQUESTS for each in self._path)
        (self._expressions if inside else self._everywhere).append(Expression(text, prefixes))

    def _document(self) -> None:
        document = _uid(self._fields.pop("DocumentUniqueId", ""))
        if not (self._study and self._series and document):
            raise Fault("a document without the UID of its study, its series or its own")
        if len(self._documents) >= _DOCUMENTS:
            raise Fault("the request names too many documents")
        repository, community = self._fields.pop("RepositoryUniqueId", ""), self._fields.pop("HomeCommunityId", "")
        wanted = Wanted(
            self._study,
            self._series,
            document,
            repository,
            community,
            self._fields,
            tuple(self._types),
            tuple(self._expressions),
        )
        self._documents.append(wanted)


def _no_type(*_: object) -> None:
    raise Fault("a document type declaration is not taken")


def _listed(values: list[str], text: str) -> None:
    if len(values) >= _LISTED:
        raise Fault("a list is too long")
    if text:
        values.append(text)


def _uid(text: str) -> str:
    """A UID, cut where no UID goes on: it then finds nothing, as an over-long one must."""
    return text.strip()[:128]
