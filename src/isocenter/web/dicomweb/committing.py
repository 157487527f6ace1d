"""Storage commitment over HTTP (PS3.18 13): a request is answered with its result, or 202 and the result later.

POST /commitment-requests/{transaction}     200 with the result, 202 where it takes longer, 409
GET  /commitment-requests/{transaction}     200, 202, 404
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from isocenter.archive.commitment.data import Named
from isocenter.archive.commitment.polled import Polled
from isocenter.archive.commitment.rows import Instance, Transaction
from isocenter.config import HostedAE
from isocenter.declarations.commitment import Failure
from isocenter.dicom import json_model, xml_reading
from isocenter.dicom.native_model import xml_of
from isocenter.web import media
from isocenter.web.body import Disconnected, pump
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.problem import Problem, bad_request, not_found
from isocenter.web.reply import Reply

LARGEST: Final = 64 << 20
"""Bytes of a request."""
SOON: Final = 5
"""Seconds after which an asker may come back for its result."""
_UID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*\Z")
_LONGEST_UID: Final = 64
_SOP_CLASS, _SOP_INSTANCE = "00081150", "00081155"
_REFERENCED, _FAILED, _REASON = "00081199", "00081198", "00081197"
_STUDIES, _FAILED_STUDIES = "00081110", "0008119B"
_SERIES, _BY_CLASS, _INSTANCES = "00081115", "00081112", "0008114A"
_STUDY_UID, _SERIES_UID = "0020000D", "0020000E"


async def request(call: Call) -> Reply:
    """POST: keep the request and look after it (PS3.18 13.4)."""
    kind = _answered_in(call)
    described = media.parse(call.headers.get("content-type", ""))
    if described is None or described.name not in (media.JSON, media.PLAIN_JSON, media.XML):
        raise Problem(415, f"a request is {media.JSON} or {media.XML}")
    body: list[bytes] = []
    lane = call.context.lanes.query
    try:
        await pump(call.receive, lane, lambda chunks, _: body.extend(chunks), LARGEST)
    except Disconnected:
        return Reply(400)
    return await lane.run(_requested, call, kind, b"".join(body), described.name == media.XML)


async def result(call: Call) -> Reply:
    """GET: what became of a request (PS3.18 13.5)."""
    kind = _answered_in(call)
    return await call.context.lanes.query.run(_result, call, kind)


def _requested(call: Call, kind: str, body: bytes, xml: bool) -> Reply:
    polled, ae = _service(call)
    transaction = _uid(call.path["transaction"], "the transaction UID")
    named = tuple(dict.fromkeys(_named(_read(body, xml))))
    if not named:
        raise bad_request("the request names no instance")
    asked = polled.ask(ae, call.address, transaction, named)
    if polled.soon(asked, ae, len(named)):
        polled.look(asked, ae)
    return _result(call, kind)


def _result(call: Call, kind: str) -> Reply:
    polled, _ = _service(call)
    found = polled.get(call.path["transaction"].strip())
    if found is None:
        raise not_found("commitment request")
    asked, instances = found
    if not _known(asked, instances):
        where = f"{call.root}/commitment-requests/{asked.transaction_uid}"
        return Reply(202, {"Retry-After": str(SOON), "Content-Location": where})
    body = response(instances)
    headers = {"Content-Type": kind, "Cache-Control": "no-store"}
    return compressed(call, Reply(200, headers, xml_of(body) if kind == media.XML else body))


def _known(asked: Transaction, instances: Sequence[Instance]) -> bool:
    """Whether something was said of each instance."""
    return asked.state != "accepted" or all(each.failure is not None for each in instances)


def _service(call: Call) -> tuple[Polled, HostedAE]:
    """Raises Problem 503 where the installation commits to nothing."""
    ae = call.context.ae()
    if call.context.polled is None or "commit" not in ae.services:
        raise Problem(503, "this archive does not commit to storage")
    return call.context.polled, ae


def _answered_in(call: Call) -> str:
    """The media type of the result: JSON unless the client takes only XML. Raises Problem 406."""
    if not call.accepted:
        return media.JSON
    for wished in call.accepted:
        for kind in (media.JSON, media.PLAIN_JSON, media.XML):
            if media.covers(wished.root, kind):
                return kind
    raise Problem(406, f"the result comes as {media.JSON} or {media.XML}")


# --- the request (PS3.18 J.1)


def _read(body: bytes, xml: bool) -> dict[str, Any]:
    if xml:
        return xml_reading.read(body)
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise bad_request("the request is not JSON") from fault
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        raise bad_request("the request is one DICOM JSON object")
    return found


def _named(model: dict[str, Any]) -> Iterator[Named]:
    """What a Storage Commitment Request Module names, by instance or by study. Raises Problem 400."""
    for item in _items(model, _REFERENCED):
        yield Named(_value(item, _SOP_CLASS), _value(item, _SOP_INSTANCE))
    for study in _items(model, _STUDIES):
        study_uid = _value(study, _STUDY_UID)
        for series in _items(study, _SERIES):
            series_uid = _value(series, _SERIES_UID)
            for group in _items(series, _BY_CLASS):
                sop_class = _value(group, _SOP_CLASS)
                for item in _items(group, _INSTANCES):
                    yield Named(sop_class, _value(item, _SOP_INSTANCE), study_uid, series_uid)


def _items(holder: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    member = holder.get(tag, {})
    found = member.get("Value", []) if isinstance(member, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise bad_request(f"{tag} is no sequence")
    return found


def _value(holder: dict[str, Any], tag: str) -> str:
    member = holder.get(tag)
    values = member.get("Value") if isinstance(member, dict) else None
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise bad_request(f"{tag} is missing in an item, or has not one value")
    return _uid(values[0].strip(" \0"), tag)


def _uid(text: str, what: str) -> str:
    if len(text) > _LONGEST_UID or not _UID.match(text):
        raise bad_request(f"{what} is no UID")
    return text


# --- the result (PS3.18 J.2)


def response(instances: Sequence[Instance]) -> bytes:
    """The Storage Commitment Response Module: what was asked for by study is told by study."""
    kept = [each for each in instances if each.failure == Failure.NONE]
    lost = [each for each in instances if each.failure != Failure.NONE]
    members: list[tuple[str, list[bytes]]] = [
        (_STUDIES, _studies([each for each in kept if each.study_uid])),
        (_FAILED, [json_model.data_set(_item(each)) for each in lost if not each.study_uid]),
        (_REFERENCED, [json_model.data_set(_item(each)) for each in kept if not each.study_uid]),
        (_FAILED_STUDIES, _studies([each for each in lost if each.study_uid])),
    ]
    return json_model.data_set(json_model.sequence(int(tag, 16), items) for tag, items in members if items)


def _item(one: Instance) -> list[bytes]:
    return [json_model.element(int(_SOP_CLASS, 16), "UI", one.sop_class), *_instance(one)]


def _instance(one: Instance) -> list[bytes]:
    named = [json_model.element(int(_SOP_INSTANCE, 16), "UI", one.sop_uid)]
    if one.failure == Failure.NONE:
        return named
    reason = Failure.PROCESSING_FAILURE if one.failure is None else one.failure
    return [*named, json_model.element(int(_REASON, 16), "US", int(reason))]


def _studies(instances: Iterable[Instance]) -> list[bytes]:
    tree: dict[str, dict[str, dict[str, list[bytes]]]] = {}
    for each in instances:
        series = tree.setdefault(each.study_uid, {}).setdefault(each.series_uid, {})
        series.setdefault(each.sop_class, []).append(json_model.data_set(_instance(each)))
    return [
        json_model.data_set(
            [
                json_model.sequence(int(_SERIES, 16), [_one_series(uid, classes) for uid, classes in series.items()]),
                json_model.element(int(_STUDY_UID, 16), "UI", study_uid),
            ]
        )
        for study_uid, series in tree.items()
    ]


def _one_series(uid: str, classes: dict[str, list[bytes]]) -> bytes:
    groups = [
        json_model.data_set(
            [json_model.sequence(int(_INSTANCES, 16), items), json_model.element(int(_SOP_CLASS, 16), "UI", sop_class)]
        )
        for sop_class, items in classes.items()
    ]
    return json_model.data_set(
        [json_model.sequence(int(_BY_CLASS, 16), groups), json_model.element(int(_SERIES_UID, 16), "UI", uid)]
    )
