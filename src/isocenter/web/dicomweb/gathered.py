"""WADO-RS resources that gather the pixel data or all bulk data of an instance, a series or a study (PS3.18 10.4.1.1.5,
10.4.1.1.6): a part for each frame or value, with its own address as Content-Location.
"""

import secrets
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from isocenter.archive.retrieval.frames import frames_of
from isocenter.archive.retrieval.instances import Located, reader
from isocenter.declarations.sop_classes import is_image
from isocenter.dicom.elements import PIXEL_TAGS
from isocenter.dicom.uids import EXPLICIT_LE, transfer_syntax
from isocenter.errors import Refused
from isocenter.imaging.plan import may_transcode
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.dicomweb import frame_media
from isocenter.web.dicomweb.bulk import value
from isocenter.web.dicomweb.frame_media import FrameForm
from isocenter.web.dicomweb.framing import Described
from isocenter.web.dicomweb.named import found_by
from isocenter.web.dicomweb.objects import leaves_in
from isocenter.web.dicomweb.retrieving import counted
from isocenter.web.problem import Problem, not_acceptable, not_found
from isocenter.web.reply import Pieces, Reply
from isocenter.web.root import study_url

_PIXELS: Final = frozenset(f"{tag:08X}" for tag in PIXEL_TAGS)


class _Part(NamedTuple):
    kind: str
    where: str
    content: Iterator[bytes]


class _Chosen(NamedTuple):
    """An object whose data leaves; `form` is that of its pixel data, if it has any."""

    located: Located
    form: FrameForm | None


async def pixeldata(call: Call) -> Reply:
    """GET .../pixeldata of a study, a series or an instance."""
    return await call.context.lanes.retrieve.run(_pixeldata, call)


async def bulkdata(call: Call) -> Reply:
    """GET .../bulkdata of a study, a series or an instance."""
    return await call.context.lanes.retrieve.run(_bulkdata, call)


def _pixeldata(call: Call) -> Reply:
    found = [one for one in found_by(call) if _pictured(one)]
    if not found:
        raise not_found("pixel data")
    chosen = [_Chosen(one, form) for one in found if (form := _form(call, one)) is not None]
    if not chosen:
        raise not_acceptable("the pixel data can't be had in parts that Accept names")
    return counted(_reply(call, (part for each in chosen for part in _frames(call, each))), len(found) - len(chosen))


def _bulkdata(call: Call) -> Reply:
    if call.accepted and not any(each.multipart or each.name in ("*/*", "*") for each in call.accepted):
        raise not_acceptable(f'all bulk data comes as {media.MULTIPART}; type="{media.OCTETS}"')
    found = [_Chosen(one, _form(call, one) if _pictured(one) else None) for one in found_by(call)]
    missing = sum(1 for one, form in found if _pictured(one) and form is None)
    if missing == len(found):
        raise not_acceptable("the bulk data can't be had in parts that Accept names")
    return counted(_reply(call, (part for each in found for part in _values(call, each))), missing)


def _pictured(one: Located) -> bool:
    """Whether the object has frames, as far as the index tells."""
    return bool(one.rows) and is_image(one.sop_class)


def _form(call: Call, one: Located) -> FrameForm | None:
    """How an object's frames leave, as far as its transfer syntax tells."""
    own = one.syntax if transfer_syntax(one.syntax).encapsulated else EXPLICIT_LE
    lossy = call.context.settings.lossy

    def reach(syntax: str) -> bool:
        return leaves_in(syntax) and may_transcode(own, syntax, lossy=lossy)

    several = 2  # one by itself is no answer here
    return frame_media.choose(call.accepted, own, several, reach)


def _reply(call: Call, parts: Iterator[_Part]) -> Reply:
    boundary = secrets.token_hex(16)
    kind = f'{media.MULTIPART}; type="{media.OCTETS}"; boundary={boundary}'
    source = Pieces(_written(parts, boundary), None)
    return Reply(200, {"Content-Type": kind, "Vary": "Accept"}, source=source, lane=call.context.lanes.retrieve)


def _written(parts: Iterator[_Part], boundary: str) -> Iterator[bytes]:
    lead = f"--{boundary}"
    for part in parts:
        yield f"{lead}\r\nContent-Type: {part.kind}\r\nContent-Location: {part.where}\r\n\r\n".encode()
        yield from part.content
        lead = f"\r\n--{boundary}"
    yield f"{lead}--\r\n".encode()


def _frames(call: Call, chosen: _Chosen) -> Iterator[_Part]:
    """The frames of one object, as stored where they turn out not to be had otherwise."""
    one, form = chosen
    assert form is not None
    where = study_url(call.root, one.study_uid, one.series_uid, one.sop_uid)
    with reader(call.context.store, one) as opened:
        found = frames_of(one, None, opened)
        numbers = range(1, found.count + 1)
        contents: Iterator[bytes] = map(found.frame, numbers)
        kind, syntax = frame_media.type_of(found.syntax), found.syntax
        if form.syntax != found.syntax:
            try:
                contents, _ = Described(call, one, None, opened).recoded(form.syntax, numbers)
                kind, syntax = form.kind, form.syntax
            except (Refused, Problem):  # in the form that was asked for it can't be had: it leaves as stored
                contents = map(found.frame, numbers)
        for number, content in zip(numbers, contents, strict=True):
            yield _Part(f"{kind}; transfer-syntax={syntax}", f"{where}/frames/{number}", iter([content]))


def _values(call: Call, chosen: _Chosen) -> Iterator[_Part]:
    """Every value that the object's metadata tells by its address."""
    one, form = chosen
    compressed = transfer_syntax(one.syntax).encapsulated
    for where in _addresses(msgspec.json.decode(call.context.packs.instance(one, call.root))):
        path = where.partition("/bulkdata/")[2]
        if path in _PIXELS and compressed:
            if form is not None:
                yield from _frames(call, chosen)
            continue
        with reader(call.context.store, one) as opened:
            content, _ = value(one, opened, path)
            yield _Part(media.OCTETS, where, content)


def _addresses(model: object) -> Iterator[str]:
    """The BulkDataURIs of a DICOM JSON object, in order."""
    if isinstance(model, dict):
        for name, held in model.items():
            if name == "BulkDataURI" and isinstance(held, str):
                yield held
            else:
                yield from _addresses(held)
    elif isinstance(model, Sequence) and not isinstance(model, str):
        for held in model:
            yield from _addresses(held)
