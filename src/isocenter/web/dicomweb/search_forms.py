"""How the rows of a search become a body: a JSON array, or parts of XML (PS3.18 10.6.3.3)."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from isocenter.dicom.native_model import xml_of
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.problem import Problem

_BOUNDARY = "isocenter-search"


class Form(NamedTuple):
    """How rows are put together to a body."""

    content_type: str
    begin: bytes
    row: Callable[[bytes, bool], bytes]
    """(JSON of a row, whether it is the first) -> its bytes."""
    end: bytes


def _json_row(row: bytes, first: bool) -> bytes:
    return row if first else b"," + row


def _xml_row(row: bytes, first: bool) -> bytes:
    return b"--%b\r\nContent-Type: application/dicom+xml\r\n\r\n%b\r\n" % (_BOUNDARY.encode(), xml_of(row))


_XML_FORM = Form(
    f'{media.MULTIPART}; type="{media.XML}"; boundary={_BOUNDARY}', b"", _xml_row, f"--{_BOUNDARY}--\r\n".encode()
)


def form_of(call: Call) -> Form:
    """JSON unless the client takes only XML. Raises Problem 406."""
    if not call.accepted:
        return Form(media.JSON, b"[", _json_row, b"]")
    for wished in call.accepted:
        for kind in (media.JSON, media.PLAIN_JSON):
            if media.covers(wished.name, kind):
                return Form(kind, b"[", _json_row, b"]")
        if media.covers(wished.root, media.XML):
            return _XML_FORM
    raise Problem(406, f'the answer comes as {media.JSON} or {media.MULTIPART}; type="{media.XML}"')


def body(rows: Iterable[bytes], form: Form) -> Iterator[bytes]:
    """The body of these rows, each a JSON object."""
    yield form.begin
    first = True
    for row in rows:
        yield form.row(row, first)
        first = False
    yield form.end
