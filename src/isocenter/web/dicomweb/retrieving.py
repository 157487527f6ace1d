"""WADO-RS: instances, frames and bulk data (PS3.18 10.4.1)."""

import secrets
from collections.abc import Iterator, Sequence

from isocenter.archive.retrieval.instances import Located, Selection, locate, locate_framed
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.conditions import tag_of, unchanged, whole_or_range
from isocenter.web.dicomweb import objects
from isocenter.web.dicomweb.objects import Wish
from isocenter.web.problem import not_acceptable, not_found
from isocenter.web.reply import Pieces, Reply

Chosen = list[tuple[Located, str]]
"""Objects and the transfer syntaxes that they leave in."""


async def instances(call: Call) -> Reply:
    """GET of a study, a series or an instance."""
    wishes = objects.wishes(call.accepted)
    if not wishes:
        raise not_acceptable(f'objects come as {media.MULTIPART}; type="{media.DICOM}" or, one alone, {media.DICOM}')
    return await call.context.lanes.retrieve.run(_instances, call, wishes)


def located(call: Call) -> Located:
    """The instance that the path names. Raises Problem 404."""
    return framed(call)[0]


def framed(call: Call) -> tuple[Located, bytes | None]:
    """The same with its frame table."""
    path = call.path
    names = (path["study"], path["series"], path["instance"])
    found = locate_framed(call.context.database, *names, call.access, call.view)
    if found is None:
        raise not_found("instance")
    return found


def _instances(call: Call, wishes: Sequence[Wish]) -> Reply:
    found = _found(call)
    wish, chosen = _choose(found, wishes)
    if wish.zipped:
        from isocenter.web.dicomweb import zipped

        return zipped.archive(call, chosen)
    if wish.multipart:
        return _in_parts(call, chosen)
    return _single(call, *chosen[0])


def _found(call: Call) -> list[Located]:
    path = call.path
    if "instance" in path:
        return [located(call)]
    series = (path["series"],) if "series" in path else ()
    selection = Selection(study_uids=(path["study"],), series_uids=series, access=call.access, view=call.view)
    found = [one for page in locate(call.context.database, selection, page=2000) for one in page]
    if not found:
        raise not_found("series" if "series" in path else "study")
    return found


def _choose(found: list[Located], wishes: Sequence[Wish]) -> tuple[Wish, Chosen]:
    """The first wish that all objects can fulfil. Raises Problem 406."""
    failing = found[0]
    for wish in wishes:
        if not wish.multipart and not wish.zipped and len(found) > 1:
            continue
        chosen: Chosen = []
        for one in found:
            syntax = wish.syntax_for(one)
            if syntax is None:
                failing = one
                break
            chosen.append((one, syntax))
        else:
            return wish, chosen
    if len(found) > 1 and not any(wish.multipart for wish in wishes):
        raise not_acceptable(f'several objects come as {media.MULTIPART}; type="{media.DICOM}" only')
    raise not_acceptable(objects.refusal(failing))


def _single(call: Call, one: Located, syntax: str) -> Reply:
    store = call.context.store
    tag = tag_of(one.digest, one.id, one.overlay, syntax)
    headers = {"Content-Type": f"{media.DICOM}; transfer-syntax={syntax}", "Vary": "Accept", "ETag": tag}
    if unchanged(call, tag):
        return Reply(304, headers)
    length = objects.file_length(one, syntax)
    if length is None:
        length = objects.converted_length(store, one, syntax)
    return whole_or_range(call, headers, objects.pieces(store, one, syntax), length)


def _in_parts(call: Call, chosen: Chosen) -> Reply:
    """Part after part, with a Content-Length unless several objects are converted."""
    store, boundary = call.context.store, secrets.token_hex(16)
    tag = tag_of(*(f"{one.digest} {one.id} {one.overlay} {syntax}" for one, syntax in chosen), weak=True)
    kind = f'{media.MULTIPART}; type="{media.DICOM}"; boundary={boundary}'
    headers = {"Content-Type": kind, "Vary": "Accept", "ETag": tag}
    if unchanged(call, tag):
        return Reply(304, headers)
    end = f"\r\n--{boundary}--\r\n".encode()
    length: int | None = len(end)
    for number, (one, syntax) in enumerate(chosen):
        file = objects.file_length(one, syntax)
        if file is None and len(chosen) == 1:
            file = objects.converted_length(store, one, syntax)
        if file is None or length is None:
            length = None
            break
        length += len(_lead(boundary, syntax, number)) + file

    def body() -> Iterator[bytes]:
        for number, (one, syntax) in enumerate(chosen):
            yield from objects.pieces(store, one, syntax, _lead(boundary, syntax, number))
        yield end

    return Reply(200, headers, source=Pieces(body(), length), lane=call.context.lanes.retrieve)


def _lead(boundary: str, syntax: str, number: int) -> bytes:
    start = f"\r\n--{boundary}" if number else f"--{boundary}"
    return f"{start}\r\nContent-Type: {media.DICOM}; transfer-syntax={syntax}\r\n\r\n".encode()
