"""An object as `application/dicom`, in the transfer syntax that is asked for if it can be had (PS3.18 9.4.1.2.2).

One that can't be had is no error: the object comes in Explicit VR Little Endian then, or as an installation sets it in
Implicit VR Little Endian (I-URI-04); video comes as it is stored.
"""

from collections.abc import Iterator

from isocenter.archive.retrieval.instances import Located
from isocenter.dicom.uids import IMPLICIT_LE
from isocenter.imaging.plan import may_transcode
from isocenter.web.call import Call
from isocenter.web.dicomweb import retrieving
from isocenter.web.dicomweb.leaving import Choice, Feasibility
from isocenter.web.dicomweb.objects import Wish, refusal, unchanged_syntax
from isocenter.web.problem import not_acceptable
from isocenter.web.reply import Reply
from isocenter.web.wado_uri.parameters import Asked


def object_reply(call: Call, one: Located, asked: Asked) -> Reply:
    """The object as a file. Reads its header, so run it in a thread. Raises Problem 406 where no syntax fits."""
    return retrieving.single(call, choice(call, one, asked))


def choice(call: Call, one: Located, asked: Asked) -> Choice:
    """The object and its transfer syntax: the first that can be had, with what it leaves in if it turns out damaged."""
    possible = Feasibility(call.context)
    for syntax in syntaxes(call, one, asked):
        if possible(one, syntax):
            return Choice(one, syntax, unchanged_syntax(one))
    raise not_acceptable(refusal(one))


def syntaxes(call: Call, one: Located, asked: Asked) -> Iterator[str]:
    """The transfer syntaxes that may do, best first, as far as the stored one tells."""
    lossy = call.context.settings.lossy
    for wished in asked.syntaxes:
        if (found := Wish(False, wished, False).syntax_for(one, lossy=lossy)) is not None:
            yield found
    if call.context.settings.uri_implicit and may_transcode(one.syntax, IMPLICIT_LE):
        yield IMPLICIT_LE
    if (found := Wish(False, "", False).syntax_for(one)) is not None:
        yield found
    yield unchanged_syntax(one)
