"""The worklist over HTTP, as DICOM JSON: what other programs of a department read and write.

GET    /api/worklist          200 with an array; query parameters as in QIDO-RS (PS3.18 8.3.4), and
                              `state`: that state alone, or `all`; without it those that are not over
POST   /api/worklist          201 with what was made: of an object, or of an array of them, all or none
GET    /api/worklist/{uid}    200, 404
PUT    /api/worklist/{uid}    200 with the entry as it is then
DELETE /api/worklist/{uid}    204; the entry is gone. One that is cancelled stays, by PUT with its status

An entry is named by its SOP Instance UID (0008,0018).
"""

import re
from collections.abc import Awaitable, Callable
from itertools import chain, islice
from typing import Any, Final

import msgspec
from sqlalchemy import Connection
from starlette.types import Receive, Scope, Send

from isocenter.declarations.worklist import STATUS
from isocenter.index.matching_items import How
from isocenter.web import media
from isocenter.web.body import Disconnected, pump
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.context import WebContext
from isocenter.web.dicomweb.search_parameters import parse
from isocenter.web.edge import answered
from isocenter.web.problem import Problem, bad_request, not_found
from isocenter.web.reply import Reply
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.making import keys_named, make, replace
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.searching import Query, search
from isocenter.workflow.worklist.states import OVER

MOUNT: Final = "/api/worklist"
LARGEST: Final = 8 << 20
"""Bytes of a request."""
MOST: Final = 1000
"""Entries of an answer, where the client does not say how many it wants."""
_ITEM: Final = re.compile(r"/(?P<uid>[^/]+)/?\Z")
_TYPE: Final = {"Content-Type": media.JSON, "Cache-Control": "no-store"}
Handler = Callable[[Call], Awaitable[Reply]]


class WorklistDoor:
    """The resources below `MOUNT`."""

    def __init__(self, context: WebContext) -> None:
        self._context = context
        self._worklist = Worklist(context.database)
        self._all: dict[str, Handler] = {"GET": self._list, "POST": self._make}
        self._one: dict[str, Handler] = {"GET": self._get, "PUT": self._replace, "DELETE": self._remove}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever fails becomes a problem document."""
        await answered(scope, receive, send, self._answer)

    async def _answer(self, scope: Scope, receive: Receive, method: str) -> Reply:
        path = str(scope["path"]).removeprefix(scope.get("root_path", "")).removeprefix(MOUNT)
        found = _ITEM.match(path)
        if found is None and path not in ("", "/"):
            raise Problem(404, "no such resource")
        handlers = self._one if found else self._all
        allowed = ", ".join([*handlers, "HEAD", "OPTIONS"])
        if method == "OPTIONS":
            return Reply(204, {"Allow": allowed})
        if method not in handlers:
            raise Problem(405, f"this resource takes {allowed}", {"Allow": allowed})
        return await handlers[method](Call(scope, receive, self._context, found.groupdict() if found else {}))

    # --- all of them

    async def _list(self, call: Call) -> Reply:
        parameters = [(name, value) for name, value in call.query if name != "state"]
        asked = parse(parameters)
        state = call.parameter("state").upper()
        named = [*asked.keys, *([(STATUS, state)] if state not in ("", "ALL") else [])]
        query = Query(
            keys=keys_named(named),
            how=How(fuzzy=asked.fuzzy, empty=asked.empty),
            hidden=frozenset() if state == "ALL" else OVER,
        )
        most = MOST if asked.limit is None else asked.limit
        return await self._context.lanes.query.run(self._found, call, query, asked.offset, most)

    def _found(self, call: Call, query: Query, first: int, most: int) -> Reply:
        rows = chain.from_iterable(search(self._context.database, query))
        texts = [row.attributes for row in islice(rows, first, first + most)]
        return compressed(call, Reply(200, dict(_TYPE), f"[{','.join(texts)}]".encode()))

    async def _make(self, call: Call) -> Reply:
        body = await self._body(call)
        models = body if isinstance(body, list) else [body]
        if not models:
            raise bad_request("the array is empty")

        def made(connection: Connection) -> list[Entry]:
            return make(self._worklist, connection, models, "rest")

        entries = await self._write(made)
        headers = dict(_TYPE) if isinstance(body, list) else {**_TYPE, "Location": f"{MOUNT}/{entries[0].uid}"}
        whole = [entry.model for entry in entries]
        return Reply(201, headers, msgspec.json.encode(whole if isinstance(body, list) else whole[0], order="sorted"))

    # --- one

    async def _get(self, call: Call) -> Reply:
        return await self._context.lanes.query.run(self._one_found, call)

    def _one_found(self, call: Call) -> Reply:
        with self._context.database.reading(lagging=True) as connection:
            entry = self._entry(connection, call)
        return Reply(200, dict(_TYPE), msgspec.json.encode(entry.model, order="sorted"))

    async def _replace(self, call: Call) -> Reply:
        body = await self._body(call)
        if isinstance(body, list):
            raise bad_request("one entry is one object")

        def replaced(connection: Connection) -> Entry:
            return replace(self._worklist, connection, self._entry(connection, call), body)

        entry = await self._write(replaced)
        return Reply(200, dict(_TYPE), msgspec.json.encode(entry.model, order="sorted"))

    async def _remove(self, call: Call) -> Reply:
        await self._write(lambda connection: self._worklist.remove(connection, [self._entry(connection, call).id]))
        return Reply(204)

    def _entry(self, connection: Connection, call: Call) -> Entry:
        entry = self._worklist.of_uid(connection, call.path["uid"])
        if entry is None:
            raise not_found("worklist entry")
        return entry

    async def _write(self, work: Callable[[Connection], Any]) -> Any:
        """`work` in one transaction, which is committed before the answer leaves."""

        def written() -> Any:
            with self._context.database.writing() as connection:
                return work(connection)

        return await self._context.lanes.query.run(written)

    async def _body(self, call: Call) -> Any:
        """The objects of a request. Raises Problem 415, 413, 400."""
        described = media.parse(call.headers.get("content-type", ""))
        if described is None or described.name not in (media.JSON, media.PLAIN_JSON):
            raise Problem(415, f"an entry is {media.JSON}")
        body: list[bytes] = []
        lane = self._context.lanes.query
        try:
            await pump(call.receive, lane, lambda chunks, _: body.extend(chunks), LARGEST)
        except Disconnected as fault:
            raise bad_request("the body is incomplete") from fault
        return await lane.run(_read, b"".join(body))


def _read(body: bytes) -> Any:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise bad_request("the body is no JSON") from fault
    objects = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) and all(isinstance(value, dict) for value in each.values()) for each in objects):
        raise bad_request("an entry is an object of the DICOM JSON model")
    return found
