"""WADO-RS: instances, frames and bulk data (PS3.18 10.4.1)."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

from isocenter.archive.retrieval.instances import Located
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.conditions import tag_of, unchanged, whole_or_range
from isocenter.web.dicomweb import objects, zipped
from isocenter.web.dicomweb.leaving import Choice, Chosen, Feasibility, Leaving, leavings, telling_why
from isocenter.web.dicomweb.named import found_by
from isocenter.web.dicomweb.objects import Wish
from isocenter.web.problem import not_acceptable
from isocenter.web.reply import SLICE, Pieces, Reply


async def instances(call: Call) -> Reply:
    """GET of a study, a series or an instance."""
    wishes = objects.wishes(call.accepted)
    if not wishes:
        raise not_acceptable(f'objects come as {media.MULTIPART}; type="{media.DICOM}" or, one alone, {media.DICOM}')
    return await call.context.lanes.retrieve.run(_instances, call, wishes)


def _instances(call: Call, wishes: Sequence[Wish]) -> Reply:
    found = found_by(call)
    wish, chosen = _choose(call, found, wishes)
    if wish.zipped:
        answer = zipped.archive(call, chosen)
    elif wish.multipart:
        answer = _in_parts(call, chosen)
    else:
        return single(call, chosen[0])
    return answer if answer.status != 200 else counted(answer, len(found) - len(chosen))


def counted(answer: Reply, missing: int) -> Reply:
    """206 where objects are left out, since Accept names nothing that they can be had in (PS3.18 10.4.3)."""
    if not missing:
        return answer
    answer.headers["Warning"] = f'299 isocenter "{missing} objects can not be had in what Accept names"'
    return replace(answer, status=206)


def _choose(call: Call, found: list[Located], wishes: Sequence[Wish]) -> tuple[Wish, Chosen]:
    """The first way in which all objects can be had, else the one in which most can; in parts each object comes in the
    first syntax that fits it. Raises Problem 406 where none can.

    Of several objects one that turns out damaged leaves as it is stored, one alone only where Accept names that.
    """
    possible, lossy = Feasibility(call.context), call.context.settings.lossy
    best: tuple[Wish, Chosen] | None = None
    for place, wish in enumerate(wishes):
        if not wish.multipart and not wish.zipped and len(found) > 1:
            continue
        among = [wish] if wish.zipped else [other for other in wishes[place:] if wish.contained_like(other)]
        chosen: Chosen = []
        for one in found:
            syntaxes = [each for other in among if (each := other.syntax_for(one, lossy=lossy)) is not None]
            syntax = next((each for each in syntaxes if possible(one, each)), None)
            if syntax is not None:
                unchanged = objects.unchanged_syntax(one)
                spare = unchanged if len(found) > 1 or unchanged in syntaxes else ""
                chosen.append(Choice(one, syntax, spare))
        if len(chosen) == len(found):
            return wish, chosen
        if best is None or len(chosen) > len(best[1]):
            best = wish, chosen
    if best is not None and best[1]:
        return best
    if len(found) > 1 and not any(wish.multipart for wish in wishes):
        raise not_acceptable(f'several objects come as {media.MULTIPART}; type="{media.DICOM}" only')
    raise not_acceptable(objects.refusal(found[0]))


def single(call: Call, choice: Choice) -> Reply:
    """One object by itself."""
    store, one, syntax = call.context.store, choice.located, choice.syntax
    tag = tag_of(one.digest, one.id, one.overlay, syntax)
    headers = {"Content-Type": f"{media.DICOM}; transfer-syntax={syntax}", "Vary": "Accept", "ETag": tag}
    if unchanged(call, tag):
        return Reply(304, headers)
    if choice.transcoded:
        return _transcoded(call, headers, choice)
    length = objects.file_length(one, syntax)
    if length is None:
        length = objects.converted_length(store, one, syntax)
    return whole_or_range(call, headers, objects.pieces(store, one, syntax), length)


def _transcoded(call: Call, headers: dict[str, str], choice: Choice) -> Reply:
    """One object by itself whose pixels are transcoded: a small one whole, so that ranges of it may be had."""
    leaving = Leaving(call.context, choice)
    try:
        with telling_why(choice.located):
            leaving.begun().settled()
        headers["Content-Type"] = f"{media.DICOM}; transfer-syntax={leaving.syntax}"
        if not leaving.small:
            source = Pieces(leaving.pieces(), None, leaving.close)
            return Reply(200, headers, source=source, lane=call.context.lanes.retrieve)
        whole = b"".join(leaving.pieces())
    except BaseException:
        leaving.close()
        raise
    leaving.close()
    slices = (whole[at : at + SLICE] for at in range(0, len(whole), SLICE))
    return whole_or_range(call, headers, slices, len(whole))


def _in_parts(call: Call, chosen: Chosen) -> Reply:
    """Part after part, with a Content-Length unless several objects are converted."""
    store, boundary = call.context.store, secrets.token_hex(16)
    tag = tag_of(*(f"{one.digest} {one.id} {one.overlay} {syntax}" for one, syntax, _ in chosen), weak=True)
    kind = f'{media.MULTIPART}; type="{media.DICOM}"; boundary={boundary}'
    headers = {"Content-Type": kind, "Vary": "Accept", "ETag": tag}
    if unchanged(call, tag):
        return Reply(304, headers)
    end = f"\r\n--{boundary}--\r\n".encode()
    length: int | None = len(end)
    for number, (one, syntax, _) in enumerate(chosen):
        file = objects.file_length(one, syntax)
        if file is None and len(chosen) == 1 and not chosen[0].transcoded:
            file = objects.converted_length(store, one, syntax)
        if file is None or length is None:
            length = None
            break
        length += len(_lead(boundary, syntax, number)) + file

    def body() -> Iterator[bytes]:
        for number, leaving in enumerate(leavings(call, chosen)):
            yield from leaving.pieces(_lead(boundary, leaving.syntax, number))
        yield end

    return Reply(200, headers, source=Pieces(body(), length), lane=call.context.lanes.retrieve)


def _lead(boundary: str, syntax: str, number: int) -> bytes:
    start = f"\r\n--{boundary}" if number else f"--{boundary}"
    return f"{start}\r\nContent-Type: {media.DICOM}; transfer-syntax={syntax}\r\n\r\n".encode()
