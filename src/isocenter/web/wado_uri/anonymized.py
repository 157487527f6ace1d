"""`anonymize=yes`: the object de-identified, another instance with UIDs of its own (PS3.18 9.4.1.2.1, PS3.15 E).

The same object always comes with the same new UIDs, so that objects of a study stay together.
"""

from collections.abc import Iterator
from contextlib import ExitStack

from isocenter.archive.deidentifying import Deidentified, deidentified, obstacle, refuse
from isocenter.archive.retrieval.instances import Located, reader
from isocenter.dicom.convert import can_convert
from isocenter.dicom.deidentify import Profile
from isocenter.dicom.part10 import outgoing_header
from isocenter.imaging.transcoding import transcoding
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.conditions import tag_of, unchanged, whole_or_range
from isocenter.web.dicomweb.leaving import lossy_for
from isocenter.web.dicomweb.rendered import CACHED, with_warnings
from isocenter.web.problem import Problem, showing
from isocenter.web.reply import Pieces, Reply
from isocenter.web.wado_uri.objects import choice
from isocenter.web.wado_uri.parameters import Asked


def check(call: Call, one: Located) -> list[str]:
    """Warnings about what may tell who the patient is. Raises Problem 403 where the installation has that refused."""
    with reader(call.context.store, one) as opened:
        if call.context.settings.burned_in == "refuse":
            refuse(opened, one)
        found = obstacle(opened, one)
    return [found] * bool(found)


def profile(call: Call) -> Profile:
    """The profile of the installation. Raises Problem 403 where it has none."""
    found = call.context.deidentification
    if found is None:
        raise Problem(403, "this installation doesn't de-identify")
    return found()


def object_reply(call: Call, one: Located, asked: Asked) -> Reply:
    """The object as a file. Reads its header, so run it in a thread."""
    warnings, held = check(call, one), profile(call)
    syntax = choice(call, one, asked).syntax
    tag = tag_of(one.digest, one.id, one.overlay, syntax, held.tag())
    headers = {"Content-Type": f"{media.DICOM}; transfer-syntax={syntax}", "Vary": "Accept", "ETag": tag}
    headers = with_warnings({**headers, "Cache-Control": CACHED}, warnings)
    if unchanged(call, tag):
        return Reply(304, headers)
    stack = ExitStack()
    try:
        opened = stack.enter_context(reader(call.context.store, one))
        with showing():
            found = deidentified(opened, one, held)
            pieces, length = _file(call, one, found, syntax, stack)
    except BaseException:
        stack.close()
        raise
    if length is None:
        return Reply(200, headers, source=Pieces(pieces, None, stack.close), lane=call.context.lanes.retrieve)
    return whole_or_range(call, headers, pieces, length, stack.close)


def _file(
    call: Call, one: Located, found: Deidentified, syntax: str, stack: ExitStack
) -> tuple[Iterator[bytes], int | None]:
    """The file's pieces and their length, where it is known before they are made."""
    made = found.edited
    if made.syntax == syntax:
        header = outgoing_header(one.sop_class, found.sop_uid, syntax)
        return _led(header, made.pieces()), len(header) + made.size()
    if can_convert(made.syntax, syntax):
        header = outgoing_header(one.sop_class, found.sop_uid, syntax)
        return _led(header, made.converted(syntax)), None
    lossy = lossy_for(call.context, syntax)
    recoded = transcoding(call.context.engine, made.read, made.size(), made.syntax, syntax, lossy=lossy)
    stack.callback(recoded.close)
    if recoded.small:
        recoded.collect()
    header = outgoing_header(one.sop_class, recoded.sop_instance or found.sop_uid, syntax)
    return _led(header, recoded.pieces()), None


def _led(header: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield header
    yield from pieces
