"""Search of the Non-Patient Instance service (PS3.18 12.6): the keys of the category's information models.

An answer holds every attribute that the index keeps of a match, whether or not `includefield` names it.
"""

from collections.abc import Iterator

import msgspec

from isocenter.archive.non_patient import Found, Query, key
from isocenter.archive.non_patient import search as matches
from isocenter.declarations.non_patient import RESOURCES, Model
from isocenter.declarations.query_keys import dotted
from isocenter.dicom import json_model
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.dicomweb.search_forms import Form, body, form_of
from isocenter.web.dicomweb.search_parameters import Search, parse
from isocenter.web.reply import Reply
from isocenter.web.root import non_patient_url

_AVAILABILITY, _RETRIEVE_URL = 0x00080056, 0x00081190


async def search(name: str, call: Call) -> Reply:
    """GET /{npi-name}."""
    form = form_of(call)
    asked = parse(call.query)
    return await call.context.lanes.query.run(_run, name, call, asked, form)


def _run(name: str, call: Call, asked: Search, form: Form) -> Reply:
    """All matches are counted, and those asked for are sent. Runs in a thread."""
    models, settings = RESOURCES[name], call.context.settings
    query = Query(models=models, keys=asked.keys, fuzzy=asked.fuzzy, empty=asked.empty)
    limit = asked.limit
    if settings.limit and (limit is None or limit > settings.limit):
        limit = settings.limit
    end = None if limit is None else asked.offset + limit
    rows: list[bytes] = []
    total = 0
    for page in matches(call.context.database, query):
        for found in page:
            if total >= asked.offset and (end is None or total < end):
                rows.append(_row(found, name, call.root))
            total += 1
    headers = {"Content-Type": form.content_type, "Cache-Control": "no-store", "X-Total-Count": str(total)}
    warnings = list(_warnings(models, asked))
    if settings.limit and end is not None and limit == settings.limit and total > end:
        warnings.append("there are more matches than this server returns at once; use offset")
    if warnings:
        headers["Warning"] = ", ".join(f'299 isocenter "{text}"' for text in warnings)
    if not rows and settings.empty_status == 204:
        del headers["Content-Type"]
        return Reply(204, headers)
    return compressed(call, Reply(200, headers, b"".join(body(rows, form))))


def _warnings(models: tuple[Model, ...], asked: Search) -> Iterator[str]:
    ignored = [dotted(path) for path, value in asked.keys if value and key(models, path) is None]
    if ignored:
        yield f"matching is not supported for {', '.join(ignored)}"
    if asked.unknown or any(key(models, path) is None for path in asked.include):
        yield "an includefield that is no attribute of these instances was passed over"


def _row(found: Found, name: str, root: str) -> bytes:
    """The attributes, and where the instance is, by ascending tag."""
    url = non_patient_url(root, name, found.located.sop_uid)
    held = msgspec.json.decode(found.json or "{}", type=dict[str, msgspec.Raw])
    members = {tag: b'"%b":%b' % (tag.encode(), bytes(value)) for tag, value in held.items()}
    members["00080005"] = json_model.CHARACTER_SET_ELEMENT
    members[f"{_AVAILABILITY:08X}"] = json_model.element(_AVAILABILITY, "CS", found.located.availability)
    members[f"{_RETRIEVE_URL:08X}"] = json_model.element(_RETRIEVE_URL, "UR", url)
    return json_model.data_set([members[tag] for tag in sorted(members)])
