"""The Non-Patient Instance service (PS3.18 12): instances that belong to no patient are stored, retrieved and, ours,
deleted under `/{npi-name}`; `non_patient_search` has the search.

An instance comes as DICOM JSON by default, as XML or as a file (PS3.18 12.1.3). Values too long for JSON stand under
`/bulkdata`, as in metadata of images.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Final

from isocenter.archive.ingest import Ingest, Origin, Reception
from isocenter.archive.non_patient import locate
from isocenter.archive.retrieval.instances import Located, reader
from isocenter.declarations.non_patient import RESOURCES, classes_of
from isocenter.dicom import json_model
from isocenter.dicom.native_model import xml_of
from isocenter.errors import Reason, Refused
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.conditions import tag_of, unchanged, whole_or_range
from isocenter.web.dicomweb import bulk, non_patient_search, objects
from isocenter.web.dicomweb.storing import taken_in
from isocenter.web.problem import Problem, not_acceptable, not_found
from isocenter.web.reply import Pieces, Reply
from isocenter.web.root import non_patient_url

Handler = Callable[[Call], Awaitable[Reply]]

INLINE: Final = 1 << 16
"""Bytes up to which values stand in JSON: the tables of a palette do."""
_LARGEST_MODEL: Final = 64 << 20
"""Bytes of a data set that is written as JSON, which is done in memory."""


def resources() -> Iterator[tuple[str, Mapping[str, Handler]]]:
    """The resources with their methods, for the routing table."""
    for name in RESOURCES:
        one = f"/{name}/{{uid}}"
        yield f"/{name}", {"GET": partial(non_patient_search.search, name), "POST": partial(store, name)}
        yield one, {"GET": partial(retrieve, name), "POST": partial(store, name), "DELETE": partial(delete, name)}
        yield f"{one}/bulkdata/{{bulk+}}", {"GET": partial(bulkdata, name)}


# --- storing


async def store(name: str, call: Call) -> Reply:
    """POST /{npi-name} and /{npi-name}/{uid}: what the studies resource takes, of this category alone."""
    return await taken_in(call, lambda ingest: _Gate(ingest, name, call.path.get("uid", "")))


class _Gate:
    """Lets objects of one category into the archive, or one object of it."""

    def __init__(self, ingest: Ingest, name: str, uid: str) -> None:
        self._ingest, self._name, self._uid = ingest, name, uid
        self._classes = frozenset(classes_of(name))

    def receive(self, origin: Origin, sop_class: str, sop_instance: str, syntax: str) -> Reception:
        """See `Ingest.receive`. Raises Refused for what does not belong here."""
        if sop_class.strip("\0 ") not in self._classes:
            raise Refused(Reason.SOP_CLASS_NOT_SUPPORTED, f"/{self._name} takes no objects of this SOP class")
        if self._uid and sop_instance.strip("\0 ") != self._uid:
            raise Refused(Reason.SOP_INSTANCE_MISMATCH, "the object is another than the request names")
        return self._ingest.receive(origin, sop_class, sop_instance, syntax)


# --- deleting


async def delete(name: str, call: Call) -> Reply:
    """DELETE /{npi-name}/{uid}: 204 once it is durable."""
    deletions = call.context.deletions
    if not call.context.settings.allow_delete or deletions is None:
        raise Problem(403, "this server does not allow deletion (setting http.allow_delete)")
    remove = deletions.delete_non_patient
    if not await call.context.lanes.ingest.run(remove, classes_of(name), call.path["uid"]):
        raise not_found("instance")
    return Reply(204)


# --- retrieving


async def retrieve(name: str, call: Call) -> Reply:
    """GET /{npi-name}/{uid}."""
    answer = _answer(call)
    return await call.context.lanes.retrieve.run(answer, name, call)


async def bulkdata(name: str, call: Call) -> Reply:
    """GET /{npi-name}/{uid}/bulkdata/{path}: a value that JSON refers to."""
    return await call.context.lanes.retrieve.run(lambda: bulk.value_of(call, _located(name, call), None))


def _located(name: str, call: Call) -> Located:
    found = locate(call.context.database, classes_of(name), [call.path["uid"]])
    if not found:
        raise not_found("instance")
    return found[0]


def _answer(call: Call) -> Callable[[str, Call], Reply]:
    """How the client likes it best; JSON where it doesn't say. Raises Problem 406."""
    if not call.accepted:
        return partial(_model, media.JSON)
    for wished in call.accepted:
        for kind in (media.JSON, media.PLAIN_JSON):
            if media.covers(wished.root, kind):
                return partial(_model, kind)
        if media.covers(wished.root, media.XML):
            return partial(_model, media.XML)
        if media.covers(wished.root, media.DICOM):
            return _file
    names = f"{media.JSON}, {media.DICOM} or {media.MULTIPART}"
    raise not_acceptable(f'the instance comes as {names}; type="{media.DICOM}" or "{media.XML}"')


def _model(kind: str, name: str, call: Call) -> Reply:
    """The instance as DICOM JSON, a list of one (PS3.18 F.2), or in XML."""
    one = _located(name, call)
    tag = tag_of(kind, call.root, one.digest, one.id, weak=True)
    boundary = "isocenter-instance"
    shown = f'{media.MULTIPART}; type="{media.XML}"; boundary={boundary}' if kind == media.XML else kind
    headers = {"Content-Type": shown, "ETag": tag, "Cache-Control": "private, no-cache"}
    if unchanged(call, tag):
        return Reply(304, headers)
    if one.size > _LARGEST_MODEL:
        raise not_acceptable(f"the instance is too large for JSON and XML; ask for {media.DICOM}")
    with reader(call.context.store, one) as opened:
        data = opened.pread(one.size, 0)
    where = f"{non_patient_url(call.root, name, one.sop_uid)}/bulkdata"
    found = json_model.write(data, one.syntax, bulk_uri=where, threshold=INLINE)
    if kind == media.XML:
        lead = f"--{boundary}\r\nContent-Type: {media.XML}\r\n\r\n".encode()
        return compressed(call, Reply(200, headers, lead + xml_of(found) + f"\r\n--{boundary}--\r\n".encode()))
    return compressed(call, Reply(200, headers, b"[%b]" % found))


def _file(name: str, call: Call) -> Reply:
    """The instance as a Part 10 file, by itself or as the only part."""
    one, store = _located(name, call), call.context.store
    for wish in objects.wishes(call.accepted):
        syntax = None if wish.zipped else wish.syntax_for(one)
        if syntax is not None:
            break
    else:
        raise not_acceptable(objects.refusal(one))
    tag = tag_of(one.digest, one.id, syntax)
    kind = f"{media.DICOM}; transfer-syntax={syntax}"
    headers = {"Content-Type": kind, "Vary": "Accept", "ETag": tag}
    if unchanged(call, tag):
        return Reply(304, headers)
    length = objects.file_length(one, syntax)
    if length is None:
        length = objects.converted_length(store, one, syntax)
    if not wish.multipart:
        return whole_or_range(call, headers, objects.pieces(store, one, syntax), length)
    boundary = secrets.token_hex(16)
    lead, end = f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode(), f"\r\n--{boundary}--\r\n".encode()
    headers["Content-Type"] = f'{media.MULTIPART}; type="{media.DICOM}"; boundary={boundary}'
    headers["ETag"] = tag_of(one.digest, one.id, syntax, weak=True)

    def body() -> Iterator[bytes]:
        yield from objects.pieces(store, one, syntax, lead)
        yield end

    source = Pieces(body(), len(lead) + length + len(end))
    return Reply(200, headers, source=source, lane=call.context.lanes.retrieve)
