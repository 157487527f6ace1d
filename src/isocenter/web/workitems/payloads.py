"""Bodies of the Worklist service: data sets in DICOM JSON or XML, one each (PS3.18 11.1.1, 8.6)."""

import json
from typing import Any, Final

from isocenter.dicom import xml_reading
from isocenter.dicom.native_model import xml_of
from isocenter.web import media
from isocenter.web.body import Disconnected, Inflater, pump
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.problem import Problem, bad_request, not_acceptable
from isocenter.web.reply import Reply
from isocenter.workflow.workitems import models
from isocenter.workflow.workitems.models import Model

LARGEST: Final = 4 << 20
"""Bytes of a data set."""
_BOUNDARY: Final = "isocenter-workitem"
_JSON: Final = (media.JSON, media.PLAIN_JSON)
_TYPES: Final = f"{media.JSON} or {media.XML}"
_PLAIN: Final = ("", "identity")
_CODINGS: Final = ("gzip", "x-gzip", "deflate")


async def received(call: Call, *, needed: bool = True) -> bytes:
    """The body. Raises Problem 400 where there is none though it is `needed`, 413, 415."""
    coding = call.headers.get("content-encoding", "").strip().lower()
    if coding not in (*_PLAIN, *_CODINGS):
        raise Problem(415, "a body comes as it is, or in gzip or deflate")
    body: list[bytes] = []
    lane = call.context.lanes.query
    try:
        await pump(call.receive, lane, lambda chunks, _: body.extend(chunks), LARGEST)
    except Disconnected as gone:
        raise bad_request("the body is incomplete") from gone
    if coding in _CODINGS and any(body):
        inflater = Inflater(coding, LARGEST)
        body = [piece for chunk in body for piece in inflater.feed(chunk)]
        inflater.finish()
    data = b"".join(body)
    if needed and not data:
        raise bad_request("the request needs a data set")
    return data


def read(call: Call, body: bytes) -> Model:
    """The data set of a body. Raises Problem 400, 415; Rejected."""
    if not body:
        return {}
    kind = media.parse(call.headers.get("content-type", ""))
    name = kind.name if kind is not None else ""
    if name == media.MULTIPART and kind is not None:
        name, body = _only_part(body, kind)
    if name == media.XML:
        return models.canonical(xml_reading.read(body))
    if name in _JSON:
        return models.canonical(_json(body))
    raise Problem(415, f"a data set is {_TYPES}")


def _only_part(body: bytes, kind: media.MediaType) -> tuple[str, bytes]:
    """The type and content of the one part of a multipart body."""
    boundary = kind.parameters.get("boundary", "").encode("latin-1", "replace")
    pieces = body.split(b"--" + boundary) if boundary else []
    if len(pieces) != 3:
        raise bad_request("the body has not one part")
    head, separator, content = pieces[1].partition(b"\r\n\r\n")
    if not separator:
        raise bad_request("the part has no header")
    lines = (line.partition(b":") for line in head.split(b"\r\n"))
    named = next((value for name, _, value in lines if name.strip().lower() == b"content-type"), b"")
    found = media.parse(named.decode("latin-1"))
    return (found.name if found else kind.root), content.removesuffix(b"\r\n")


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise bad_request("the body is not JSON") from fault
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise bad_request("the body is one DICOM JSON object")
    return found


# --- answers


def wanted(call: Call) -> str:
    """The media type of an answer with one data set: JSON unless the client takes only XML. Raises Problem 406."""
    for wished in call.accepted or [media.MediaType(media.JSON, {})]:
        for kind in _JSON:
            if media.covers(wished.root, kind):
                return kind
        if media.covers(wished.root, media.XML):
            return media.MULTIPART if wished.multipart else media.XML
    raise not_acceptable(f"the workitem comes as {_TYPES}")


def answer(call: Call, model: Model, kind: str) -> Reply:
    """One data set, as JSON in a list (PS3.18 F.2) or as XML."""
    text = models.dumped(model).encode()
    headers = {"Content-Type": kind, "Cache-Control": "no-store"}
    if kind in _JSON:
        return compressed(call, Reply(200, headers, b"[%b]" % text))
    document = xml_of(text)
    if kind == media.MULTIPART:
        headers["Content-Type"] = f'{media.MULTIPART}; type="{media.XML}"; boundary={_BOUNDARY}'
        lead = f"--{_BOUNDARY}\r\nContent-Type: {media.XML}\r\n\r\n".encode()
        document = b"%b%b\r\n--%b--\r\n" % (lead, document, _BOUNDARY.encode())
    return compressed(call, Reply(200, headers, document))
