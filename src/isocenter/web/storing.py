"""STOW-RS: Store Instances (PS3.18 10.5).

The body may be `multipart/related; type="application/dicom"` (quotes may be missing, further parameters are ignored) or
one `application/dicom` object by itself.
"""

from functools import partial

from isocenter.archive.ingest import Origin
from isocenter.index.records import DuplicatePolicy
from isocenter.web import media
from isocenter.web.body import Disconnected, Inflater, pump
from isocenter.web.call import Call
from isocenter.web.incoming import Incoming
from isocenter.web.multipart import Parser
from isocenter.web.native_model import xml_of
from isocenter.web.problem import RETRY_AFTER, Problem, bad_request
from isocenter.web.reply import Reply
from isocenter.web.store_response import module, status_of


async def store(call: Call) -> Reply:
    """POST /studies and /studies/{study}."""
    xml = _wants_xml(call)
    settings, lanes = call.context.settings, call.context.lanes
    if settings.max_body and int(call.headers.get("content-length") or 0) > settings.max_body:
        raise Problem(413, f"the body is larger than {settings.max_body} bytes")
    study = call.path.get("study", "")
    incoming = Incoming(
        call.context.ingest, partial(_origin, call), study, _parser(call), _inflater(call), lanes.finishers
    )
    try:
        await pump(call.receive, lanes.ingest, incoming.work, settings.max_body)
    except Disconnected:
        return Reply(400)
    finally:
        if incoming.open:
            await lanes.ingest.run(incoming.abandon)
    return _answer(call, incoming, study, xml)


def _origin(call: Call) -> Origin:
    ae = call.context.ae()
    policy = DuplicatePolicy(ae.duplicates)
    return Origin("", ae.title, call.address, character_set=ae.character_set, policy=policy)


def _answer(call: Call, incoming: Incoming, study: str, xml: bool) -> Reply:
    taken = incoming.taken
    if not taken and incoming.fault is not None:
        raise incoming.fault
    if not taken and incoming.unsupported:
        raise Problem(415, f"parts of type {', '.join(sorted(incoming.unsupported))} are not supported")
    if not taken:
        raise bad_request("the body holds no part")
    broken = incoming.fault is not None or bool(incoming.unsupported)
    status = status_of(taken, broken)
    body = module(taken, call.root, study, broken)
    headers = {"Content-Type": media.XML if xml else media.JSON}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER)
    return Reply(status, headers, xml_of(body) if xml else body)


def _wants_xml(call: Call) -> bool:
    """Whether the answer is to be XML; JSON is the default. Raises Problem 406."""
    if not call.accepted:
        return False
    for wished in call.accepted:
        for kind in (media.JSON, media.PLAIN_JSON, media.XML):
            if media.covers(wished.root, kind):
                return kind == media.XML
    raise Problem(406, f"the answer comes as {media.JSON} or {media.XML}")


def _parser(call: Call) -> Parser | None:
    """The parser for a multipart body, None for a single object. Raises Problem 415."""
    kind = media.parse(call.headers.get("content-type", ""))
    if kind is None:
        raise Problem(415, "a Content-Type is needed")
    if kind.multipart:
        if kind.root not in (media.DICOM, media.OCTETS, "*/*"):
            raise Problem(415, f"parts of {kind.root} are not supported; {media.DICOM} is")
        return Parser(kind.parameters.get("boundary", ""))
    if kind.name == media.DICOM:
        return None
    raise Problem(415, f'the body must be multipart/related; type="{media.DICOM}" or {media.DICOM}')


def _inflater(call: Call) -> Inflater | None:
    encoding = call.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Problem(415, "a Content-Encoding other than gzip and deflate", {"Accept-Encoding": "gzip, deflate"})
    return Inflater(encoding, call.context.settings.max_inflated)
