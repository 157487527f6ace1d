"""STOW-RS: Store Instances (PS3.18 10.5).

The body may be `multipart/related; type="application/dicom"` (quotes may be missing, further parameters are ignored) or
one `application/dicom` object by itself; or metadata in `application/dicom+json` or `application/dicom+xml` with its
bulk data, and where there is none the metadata by itself.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import cast

from isocenter.archive.ingest import Ingest, Origin
from isocenter.archive.validation.levels import inspection_of
from isocenter.archive.validation.workers import tables_in
from isocenter.config import HostedAE
from isocenter.dicom.native_model import xml_of
from isocenter.index.records import DuplicatePolicy
from isocenter.rules import Coercion, Ends
from isocenter.web import media
from isocenter.web.body import Disconnected, Inflater, pump
from isocenter.web.call import Call
from isocenter.web.dicomweb.described import MODELS, Described
from isocenter.web.dicomweb.incoming import Incoming, Receiving
from isocenter.web.dicomweb.store_response import module, status_of
from isocenter.web.dicomweb.together import Filing, Together, filing_with
from isocenter.web.multipart import Parser
from isocenter.web.problem import RETRY_AFTER, Problem, bad_request
from isocenter.web.reply import Reply


async def store(call: Call) -> Reply:
    """POST /studies and /studies/{study}."""
    return await taken_in(call, _open, call.path.get("study", ""))


def _open(ingest: Ingest) -> Receiving:
    return ingest


async def taken_in(call: Call, gate: Callable[[Ingest], Receiving], study: str = "") -> Reply:
    """Store the body's objects through `gate` of the archive's door, those of `study` alone where it is given."""
    xml = _wants_xml(call)
    settings, lanes = call.context.settings, call.context.lanes
    if settings.max_body and int(call.headers.get("content-length") or 0) > settings.max_body:
        raise Problem(413, f"the body is larger than {settings.max_body} bytes")
    incoming = _incoming(call, gate, study)
    try:
        await pump(call.body, lanes.ingest, incoming.work, settings.max_body)
    except Disconnected:
        return Reply(400)
    finally:
        if incoming.open:
            await lanes.ingest.run(incoming.abandon)
    reply = _answer(call, incoming, study, xml)
    if call.context.stored_whole is not None and reply.status == 200:
        studies = frozenset(one.stored.study_uid for one in incoming.taken if one.stored and one.stored.study_uid)
        await lanes.ingest.run(partial(call.context.stored_whole, studies))
    return reply


def _incoming(call: Call, gate: Callable[[Ingest], Receiving], study: str) -> Incoming:
    """What takes the body. Raises Problem 415."""
    context = call.context
    kind = media.parse(call.headers.get("content-type", ""))
    if kind is None:
        raise Problem(415, "a Content-Type is needed")
    parser = Parser(kind.parameters.get("boundary", "")) if kind.multipart else None
    together = Together(cast(Filing, context.ingest.writer))
    ingest = gate(filing_with(context.ingest, together))
    given = (ingest, cache(partial(_origin, call)), study, parser, _inflater(call), context.lanes.finishers, together)
    if kind.root in MODELS:
        return Described(*given, kind=kind.root, folder=context.settings.folder, floor=context.settings.floor)
    if kind.root == media.DICOM or (kind.multipart and kind.root in (media.OCTETS, "*/*")):
        return Incoming(*given)
    raise Problem(415, f"{kind.root} is not supported; {media.DICOM}, {media.JSON} and {media.XML} are")


def _origin(call: Call) -> Origin:
    ae = call.context.ae()
    policy = DuplicatePolicy(ae.duplicates)
    inspection = inspection_of(ae, tables_in(call.context.settings.standard))
    return Origin(
        "",
        ae.title,
        call.address,
        character_set=ae.character_set,
        policy=policy,
        inspection=inspection,
        coercion=_coercion(call, ae),
        recurring=call.context.recurring,
    )


def _coercion(call: Call, ae: HostedAE) -> Coercion | None:
    """The rules for what comes over HTTP, from a side without a title."""
    rules = call.context.rules
    if rules is None:
        return None
    return rules.receiving(Ends("", ae.title, call.address), tell=ae.tell_sender, drop_invalid=ae.drop_invalid)


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


def _inflater(call: Call) -> Inflater | None:
    encoding = call.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Problem(415, "a Content-Encoding other than gzip and deflate", {"Accept-Encoding": "gzip, deflate"})
    return Inflater(encoding, call.context.settings.max_inflated)
