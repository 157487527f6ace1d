"""Retrieve Imaging Document Set (IHE RAD-69): DICOM files in an XOP package, as they are read."""

from collections.abc import Iterator, Sequence

from isocenter.archive.retrieval.instances import Located
from isocenter.errors import IsocenterError, Retriable
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.dicomweb import objects
from isocenter.web.dicomweb.leaving import Choice, Chosen, Feasibility, Leaving, leavings
from isocenter.web.dicomweb.objects import Wish
from isocenter.web.wado_ws.documents import Found
from isocenter.web.wado_ws.request import Request
from isocenter.web.wado_ws.results import Result, Results
from isocenter.web.wado_ws.vocabulary import Code
from isocenter.web.wado_ws.writing import Attachment, Trouble, identity


def retrieved(call: Call, request: Request, found: Found) -> Results:
    """The documents, each in a transfer syntax that is taken."""
    chosen: Chosen = []
    results: list[Result] = []
    troubles = list(found.troubles)
    choosing = Choosing(call, request.syntaxes)
    for wanted, located in found.documents:
        syntax = choosing.syntax_for(located)
        if syntax is None:
            troubles.append(choosing.refusal(located))
        else:
            chosen.append(Choice(located, syntax, choosing.spare(located)))
            results.append(Result(identity(wanted), media.DICOM))
    if len(chosen) == 1:
        return _single(call, chosen, results, troubles)
    return Results("ihe:DocumentResponse", results, troubles, _attachments(leavings(call, chosen)))


class Choosing:
    """Which transfer syntax objects leave in for one request; `taken`: what its list names, best first."""

    def __init__(self, call: Call, taken: Sequence[str] = ()) -> None:
        self._taken = taken
        self._wishes = [Wish(True, syntax, False) for syntax in taken] or [Wish(True, "", True)]
        self._possible, self._lossy = Feasibility(call.context), call.context.settings.lossy

    def syntax_for(self, located: Located) -> str | None:
        """As it is stored if that is taken, else the first that it can be had in; None for none of them."""
        wishes = self._wishes
        if located.syntax in self._taken:
            wishes = [Wish(True, located.syntax, False), *wishes]
        syntaxes = (wish.syntax_for(located, lossy=self._lossy) for wish in wishes)
        return next((each for each in syntaxes if each is not None and self._possible(located, each)), None)

    def spare(self, located: Located) -> str:
        """What it leaves in among others if its pixels turn out damaged: by then its answer is on the way."""
        return Wish(True, "", True).syntax_for(located) or "" if not objects.stays_here(located.syntax) else ""

    def refusal(self, located: Located) -> Trouble:
        """What to say of one that can be had in none."""
        if self._taken and all(objects.stays_here(syntax) for syntax in self._taken):
            comment = "no document leaves in Implicit VR Little Endian or Explicit VR Big Endian (PS3.18 8.7.3)"
            return Trouble(located.sop_uid, Code.FORMAT_UNSUPPORTED, comment)
        comment = f"the document can't be had in a transfer syntax of the list; it is stored in {located.syntax}"
        return Trouble(located.sop_uid, Code.FORMAT_UNAVAILABLE, comment)


def _single(call: Call, chosen: Chosen, results: list[Result], troubles: list[Trouble]) -> Results:
    """One document alone: whether it can be decoded is known before anything is said of it."""
    (choice,) = chosen
    located = choice.located
    leaving = Leaving(call.context, choice._replace(spare=""))
    try:
        leaving.begun().settled()
    except Retriable:
        raise
    except IsocenterError as failure:
        leaving.close()
        troubles.append(Trouble(located.sop_uid, Code.FORMAT_UNAVAILABLE, failure.comment))
        return Results("ihe:DocumentResponse", (), troubles, iter(()))
    attachments = _attachments(iter((leaving,)))
    return Results("ihe:DocumentResponse", results, troubles, attachments, closing=leaving.close)


def _attachments(found: Iterator[Leaving]) -> Iterator[Attachment]:
    for leaving in found:
        yield Attachment(media.DICOM, leaving.pieces())
