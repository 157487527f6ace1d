"""WADO-RS: instances, frames and bulk data (PS3.18 10.4.1)."""

import secrets
from collections.abc import Iterator, Sequence

from isocenter.archive.retrieve import Located, Selection, locate, locate_framed
from isocenter.web import media, objects
from isocenter.web.call import Call
from isocenter.web.objects import Wish
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
    found = locate_framed(call.context.database, path["study"], path["series"], path["instance"], call.access)
    if found is None:
        raise not_found("instance")
    return found


def _instances(call: Call, wishes: Sequence[Wish]) -> Reply:
    found = _found(call)
    wish, chosen = _choose(found, wishes)
    if wish.multipart:
        return _in_parts(call, chosen)
    return _single(call, *chosen[0])


def _found(call: Call) -> list[Located]:
    path = call.path
    if "instance" in path:
        return [located(call)]
    series = (path["series"],) if "series" in path else ()
    selection = Selection(study_uids=(path["study"],), series_uids=series, access=call.access)
    found = [one for page in locate(call.context.database, selection, page=2000) for one in page]
    if not found:
        raise not_found("series" if "series" in path else "study")
    return found


def _choose(found: list[Located], wishes: Sequence[Wish]) -> tuple[Wish, Chosen]:
    """The first wish that all objects can fulfil. Raises Problem 406."""
    failing = found[0]
    for wish in wishes:
        if not wish.multipart and len(found) > 1:
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
    length = objects.file_length(one, syntax)
    if length is None:
        length = objects.converted_length(store, one, syntax)
    headers = {"Content-Type": f"{media.DICOM}; transfer-syntax={syntax}", "Vary": "Accept"}
    source = Pieces(objects.pieces(store, one, syntax), length)
    return Reply(200, headers, source=source, lane=call.context.lanes.retrieve)


def _in_parts(call: Call, chosen: Chosen) -> Reply:
    """Part after part, with a Content-Length unless several objects are converted."""
    store, boundary = call.context.store, secrets.token_hex(16)
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

    headers = {"Content-Type": f'{media.MULTIPART}; type="{media.DICOM}"; boundary={boundary}', "Vary": "Accept"}
    return Reply(200, headers, source=Pieces(body(), length), lane=call.context.lanes.retrieve)


def _lead(boundary: str, syntax: str, number: int) -> bytes:
    start = f"\r\n--{boundary}" if number else f"--{boundary}"
    return f"{start}\r\nContent-Type: {media.DICOM}; transfer-syntax={syntax}\r\n\r\n".encode()
