"""The resources of the Worklist service (PS3.18 11.3), for the routing table of DICOMweb.

/workitems                                              GET search, POST create
/workitems/{workitem}                                   GET retrieve, POST update
/workitems/{workitem}/state                             PUT change the state
/workitems/{workitem}/cancelrequest                     POST ask for cancellation
/workitems/{workitem}/subscribers/{aetitle}             POST subscribe, DELETE unsubscribe
/workitems/{workitem}/subscribers/{aetitle}/suspend     POST suspend a global subscription
/subscribers/{aetitle}                                  GET the event channel, a WebSocket (`channels`)
/subscribers/{aetitle}/ticket                           POST leave to open it once, for who can't send a header there
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final
from urllib.parse import quote

from isocenter.config import HostedAE
from isocenter.declarations.query_keys import Path
from isocenter.declarations.workitem import FILTERED, State
from isocenter.dicom.uids import is_regular, new_uid
from isocenter.errors import Refused
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.dicomweb.search_parameters import parse
from isocenter.web.problem import Problem, bad_request, not_found
from isocenter.web.reply import Reply
from isocenter.web.workitems import payloads, searching
from isocenter.web.workitems.statuses import told, warned
from isocenter.workflow.workitems import matching, models
from isocenter.workflow.workitems.entries import Workitems
from isocenter.workflow.workitems.events import Receiver
from isocenter.workflow.workitems.tickets import LIFETIME, Tickets

Handler = Callable[[Call], Awaitable[Reply]]

PROTOCOL: Final = "isocenter.events"
"""The subprotocol of an event channel that was opened with a ticket."""
TICKET: Final = "isocenter.ticket."
"""What a ticket is preceded by where it is offered as a subprotocol."""
_ONE: Final = "/workitems/{workitem}"
_SUBSCRIBER: Final = _ONE + "/subscribers/{aetitle}"
_TRANSACTION: Final = ("transaction-uid", "transaction", "transactionuid", "00081195")
_WORKITEM: Final = ("workitem", "affectedsopinstanceuid", "sopinstanceuid", "00080018")
_SPELLINGS: Final = {"CANCELLED": "CANCELED"}  # the standard itself has it both ways (PS3.18 11.7.1.4)


def resources() -> Iterator[tuple[str, Mapping[str, Handler]]]:
    """The resources with their methods."""
    yield "/workitems", {"GET": search, "POST": create}
    yield _ONE, {"GET": retrieve, "POST": update}
    yield _ONE + "/state", {"PUT": change_state}
    yield _ONE + "/cancelrequest", {"POST": request_cancel}
    yield _SUBSCRIBER, {"POST": subscribe, "DELETE": unsubscribe}
    yield _SUBSCRIBER + "/suspend", {"POST": suspend}
    yield "/subscribers/{aetitle}", {"GET": channel}
    yield "/subscribers/{aetitle}/ticket", {"POST": ticket}


def service(call: Call) -> tuple[Workitems, HostedAE]:
    """The worklist. Ask in a thread. Raises Problem 503 where the installation has none."""
    ae = call.context.ae()
    if call.context.workitems is None or "workitem" not in ae.services:
        raise Problem(503, "this server has no unified worklist")
    return call.context.workitems, ae


async def search(call: Call) -> Reply:
    """GET /workitems (11.9)."""
    return await searching.search(call, service)


async def create(call: Call) -> Reply:
    """POST /workitems (11.4): 201, 400, 409."""
    body = await payloads.received(call)
    return await call.context.lanes.query.run(_create, call, body)


def _create(call: Call, body: bytes) -> Reply:
    worklist, _ = service(call)
    with told():
        model = payloads.read(call, body)
        uid = _uid(call, _WORKITEM) or models.value(model, models.SOP_INSTANCE) or new_uid()
        with worklist.database.writing() as connection:
            status = worklist.create(connection, uid, model)
    where = f"{call.root}/workitems/{quote(uid, safe='')}"
    return Reply(201, {"Location": where, "Content-Location": where, **warned(status)})


async def retrieve(call: Call) -> Reply:
    """GET /workitems/{workitem} (11.5): 200, 404, 410."""
    kind = payloads.wanted(call)
    return await call.context.lanes.query.run(_retrieve, call, kind)


def _retrieve(call: Call, kind: str) -> Reply:
    worklist, _ = service(call)
    with told(), worklist.database.reading() as connection:
        found = worklist.get(connection, call.path["workitem"])
    return payloads.answer(call, found.model, kind)


async def update(call: Call) -> Reply:
    """POST /workitems/{workitem} (11.6): 200, 400, 404, 409, 410."""
    body = await payloads.received(call)
    return await call.context.lanes.query.run(_update, call, body)


def _update(call: Call, body: bytes) -> Reply:
    worklist, _ = service(call)
    given = _uid(call, _TRANSACTION)
    with told(updating=True):
        changes = payloads.read(call, body)
    given = given or models.value(changes, models.TRANSACTION_UID)
    with told(transaction_given=bool(given), updating=True), worklist.database.writing() as connection:
        status = worklist.update(connection, call.path["workitem"], changes, given)
    return Reply(200, {"Content-Location": _itself(call), **warned(status)})


async def change_state(call: Call) -> Reply:
    """PUT /workitems/{workitem}/state (11.7): 200, 400, 404, 409, 410."""
    body = await payloads.received(call)
    return await call.context.lanes.query.run(_change_state, call, body)


def _change_state(call: Call, body: bytes) -> Reply:
    worklist, _ = service(call)
    with told():
        said = payloads.read(call, body)
    wanted = models.value(said, models.STATE)
    wanted = _SPELLINGS.get(wanted, wanted)
    if wanted not in frozenset(State):
        raise bad_request("Procedure Step State is missing, or none of the states")
    given = models.value(said, models.TRANSACTION_UID) or _uid(call, _TRANSACTION)
    with told(transaction_given=bool(given)), worklist.database.writing() as connection:
        status = worklist.change_state(connection, call.path["workitem"], State(wanted), given)
    return Reply(200, {"Content-Location": _itself(call), **warned(status)})


async def request_cancel(call: Call) -> Reply:
    """POST /workitems/{workitem}/cancelrequest (11.8): 202, 400, 404, 409."""
    _same_site(call)
    body = await payloads.received(call, needed=False)
    return await call.context.lanes.query.run(_request_cancel, call, body)


def _request_cancel(call: Call, body: bytes) -> Reply:
    worklist, ae = service(call)
    with told():
        information = payloads.read(call, body)
        requesting = call.parameter("requester")[:16] or ae.title
        with worklist.database.writing() as connection:
            status = worklist.request_cancel(connection, call.path["workitem"], requesting, information)
    return Reply(202, {"Content-Location": _itself(call), **warned(status)})


# --- subscriptions


async def subscribe(call: Call) -> Reply:
    """POST .../subscribers/{aetitle} (11.10): 201 with where the events come, 400, 404."""
    _same_site(call)
    return await call.context.lanes.query.run(_subscribe, call)


def _subscribe(call: Call) -> Reply:
    worklist, ae = service(call)
    aet, uid = title(call.path["aetitle"]), call.path["workitem"]
    lock = call.parameter("deletionlock").strip().lower()
    if lock not in ("", "true", "false"):
        raise bad_request("deletionlock is true or false")
    keys = _filter(call.parameter("filter")) if uid == FILTERED else ()
    receiver = Receiver(aet, ae.title, call.address, "web")
    with told(), worklist.database.writing() as connection:
        status = worklist.subscriptions.subscribe(connection, uid, receiver, lock=lock == "true", keys=keys)
    return Reply(201, {"Content-Location": channel_url(call, aet), **warned(status)})


async def unsubscribe(call: Call) -> Reply:
    """DELETE .../subscribers/{aetitle} (11.11): 200, 404."""
    return await call.context.lanes.query.run(_end, call, "unsubscribe")


async def suspend(call: Call) -> Reply:
    """POST .../subscribers/{aetitle}/suspend (11.12): 200, 400, 404."""
    _same_site(call)
    return await call.context.lanes.query.run(_end, call, "suspend")


def _end(call: Call, how: str) -> Reply:
    worklist, _ = service(call)
    aet, uid = title(call.path["aetitle"]), call.path["workitem"]
    ending = worklist.subscriptions.suspend if how == "suspend" else worklist.subscriptions.unsubscribe
    with told(), worklist.database.writing() as connection:
        ended = ending(connection, uid, aet)
    if not ended:
        raise not_found("subscription")
    return Reply(200)


async def channel(call: Call) -> Reply:
    """GET /subscribers/{aetitle} without the upgrade that makes it a WebSocket (8.10.4)."""
    raise Problem(426, "this resource is a WebSocket", {"Upgrade": "websocket", "Connection": "Upgrade"})


async def ticket(call: Call) -> Reply:
    """POST /subscribers/{aetitle}/ticket: 201 with what a browser gives `WebSocket` as its subprotocols, 400."""
    _same_site(call)
    return await call.context.lanes.query.run(_ticket, call)


def _ticket(call: Call) -> Reply:
    worklist, _ = service(call)
    aet = title(call.path["aetitle"])
    protocols = [PROTOCOL, f"{TICKET}{Tickets(worklist.database).issue(aet)}"]
    said = {"url": channel_url(call, aet), "protocols": protocols, "seconds": LIFETIME}
    headers = {"Content-Type": media.PLAIN_JSON, "Cache-Control": "no-store"}
    return Reply(201, headers, json.dumps(said).encode())


def channel_url(call: Call, aet: str) -> str:
    """Where the event channel of an AE is."""
    scheme, _, rest = call.root.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/subscribers/{quote(aet, safe='')}"


def title(text: str) -> str:
    """An AE title of a path. Raises Problem 400."""
    found = text.strip()
    if not 0 < len(found) <= 16 or not found.isascii() or not found.isprintable() or "\\" in found:
        raise bad_request("no AE title")
    return found


def _filter(text: str) -> tuple[tuple[Path, str], ...]:
    """The matching keys of a filtered subscription: `attribute=value`, several with commas."""
    pairs: list[tuple[str, str]] = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals:
            pairs.append((name.strip(), value))
        elif pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{part}")
        elif part.strip():
            raise bad_request("filter is a list of attribute=value")
    keys = tuple((path, value) for path, value in parse(pairs).keys if value)
    if any(not matching.supported(path) for path, _ in keys):
        raise bad_request("filter names what is no attribute of a workitem")
    try:
        matching.accepted(matching.Query(keys=keys))
    except Refused as refusal:
        raise bad_request(refusal.comment) from refusal
    return keys


def _itself(call: Call) -> str:
    return f"{call.root}/workitems/{quote(call.path['workitem'], safe='')}"


def _uid(call: Call, names: tuple[str, ...]) -> str:
    """A UID of the query: as a parameter of one of `names`, or alone (`?1.2.3`), which is how the templates of PS3.18
    are read by some. '' where there is none. Raises Problem 400."""
    for name, value in call.query:
        if name.lower() in names:
            if not is_regular(value.strip()):
                raise bad_request("a query parameter is no UID")
            return value.strip()
    return next((name for name, value in call.query if not value and is_regular(name)), "")


def _same_site(call: Call) -> None:
    """A page of another site needs no permission to POST without a body, and credentials that the browser keeps would
    come along. Those of `http.origins` may."""
    near = call.headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    if not near and call.headers.get("origin", "") not in {each.rstrip("/") for each in call.context.settings.origins}:
        raise Problem(403, "a page of another origin may not do this")
