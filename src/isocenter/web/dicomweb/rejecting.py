"""Rejection (IHE IOCM) of a study, a series or an instance, as archives of the field offer it:
`POST .../reject/{code}^{scheme}`, the code being a title of a rejection note (CID 7010)."""

import json

from isocenter.archive.edits.making import Who
from isocenter.archive.rejection.rejecting import Rejected, Rejecting
from isocenter.archive.retrieval.instances import Selection, series_of
from isocenter.declarations.rejections import BY_CODE, SCHEME, Title
from isocenter.web.call import Call
from isocenter.web.problem import Problem, bad_request, not_found
from isocenter.web.reply import Reply

_ACTOR = "http"


async def reject(call: Call) -> Reply:
    """POST .../reject/{code}: 200 with the number of rejected instances and their note. Durable then."""
    if not call.context.settings.allow_reject:
        raise Problem(403, "this server does not allow rejection (setting http.allow_reject)")
    if _from_elsewhere(call):
        raise Problem(403, "a page of another origin may not reject")
    title = _title(call.path["code"])
    done = await call.context.lanes.ingest.run(_reject, call, title)
    body = json.dumps({"count": done.instances, "note": done.note_uid}).encode()
    return Reply(200, {"Content-Type": "application/json"}, body)


def _from_elsewhere(call: Call) -> bool:
    """A page of another site sent the browser here: it needs no permission to POST without a body, and credentials that
    the browser keeps would come along."""
    return call.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _title(text: str) -> Title:
    code, _, scheme = text.partition("^")
    title = BY_CODE.get(code)
    if title is None or scheme not in ("", SCHEME):
        known = ", ".join(f"{each}^{SCHEME}" for each in BY_CODE)
        raise bad_request(f"no such rejection note title; there are {known}")
    return title


def _reject(call: Call, title: Title) -> Rejected:
    path, context = call.path, call.context
    series = (path["series"],) if "series" in path else ()
    if not series_of(context.database, Selection((), (path["study"],), series, access=call.access)):
        raise not_found("series" if series else "study")
    rejecting = Rejecting(context.database, context.ingest, context.ae().title)
    names = (path["study"], path.get("series", ""), path.get("instance", ""))
    return rejecting.reject(title, *names, Who(_ACTOR, call.parameter("reason")))
