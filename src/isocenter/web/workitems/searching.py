"""Search of the Worklist service (PS3.18 11.9)."""

from collections.abc import Callable, Iterator

import msgspec

from isocenter.config import HostedAE
from isocenter.declarations.query_keys import dotted
from isocenter.declarations.workitem import returned
from isocenter.dicom import json_model
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.dicomweb.search_forms import Form, body, form_of
from isocenter.web.dicomweb.search_parameters import Search, parse
from isocenter.web.reply import Reply
from isocenter.web.workitems.statuses import warning
from isocenter.workflow.workitems import matching
from isocenter.workflow.workitems.entries import Workitems
from isocenter.workflow.workitems.matching import Found, Query

Service = Callable[[Call], tuple[Workitems, HostedAE]]

_CHARACTER_SET = "00080005"


async def search(call: Call, service: Service) -> Reply:
    """GET /workitems: 200, or 204 where nothing matches."""
    form = form_of(call)
    asked = parse(call.query)
    return await call.context.lanes.query.run(_run, call, service, asked, form)


def _run(call: Call, service: Service, asked: Search, form: Form) -> Reply:
    """All matches are counted, and those asked for are sent. Runs in a thread."""
    worklist, _ = service(call)
    query = Query(keys=asked.keys, fuzzy=asked.fuzzy, empty=asked.empty)
    most = call.context.settings.limit
    limit = asked.limit if asked.limit is not None and (not most or asked.limit <= most) else most or None
    end = None if limit is None else asked.offset + limit
    shown = _shown(asked)
    found, total = matching.page(worklist.database, query, asked.offset, limit)
    rows = [_row(each, shown) for each in found]
    headers = {"Content-Type": form.content_type, "Cache-Control": "no-store", "X-Total-Count": str(total)}
    if warnings := list(_warnings(asked, most, end, total)):
        headers["Warning"] = ", ".join(map(warning, warnings))
    if not rows:
        del headers["Content-Type"]
        return Reply(204, headers)
    return compressed(call, Reply(200, headers, b"".join(body(rows, form))))


def _shown(asked: Search) -> frozenset[str] | None:
    """The attributes of an answer, as tags; None for all."""
    if asked.include_all:
        return None
    wished = {path[0] for path, _ in asked.keys} | {path[0] for path in asked.include}
    return frozenset(f"{tag:08X}" for tag in returned() | wished)


def _warnings(asked: Search, most: int, end: int | None, total: int) -> Iterator[str]:
    ignored = [dotted(path) for path, value in asked.keys if value and not matching.supported(path)]
    if ignored:
        yield f"matching is not supported for {', '.join(ignored)}"
    if asked.unknown:
        yield "an includefield that is no attribute was passed over"
    if most and end is not None and total > end and (asked.limit is None or asked.limit > most):
        yield "there are more matches than this server returns at once; use offset"


def _row(found: Found, shown: frozenset[str] | None) -> bytes:
    held = msgspec.json.decode(found.attributes, type=dict[str, msgspec.Raw])
    members = {
        tag: b'"%b":%b' % (tag.encode(), bytes(value)) for tag, value in held.items() if shown is None or tag in shown
    }
    members[_CHARACTER_SET] = json_model.CHARACTER_SET_ELEMENT
    return json_model.data_set([members[tag] for tag in sorted(members)])
