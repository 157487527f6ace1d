"""The instances that a path names (PS3.18 10.4.1)."""

from isocenter.archive.retrieval.instances import Located, Selection, locate, locate_framed
from isocenter.web.call import Call
from isocenter.web.problem import not_found


def located(call: Call) -> Located:
    """The instance that the path names. Raises Problem 404."""
    return framed(call)[0]


def framed(call: Call) -> tuple[Located, bytes | None]:
    """The same with its frame table."""
    path = call.path
    names = (path["study"], path["series"], path["instance"])
    found = locate_framed(call.context.database, *names, call.access, call.view)
    one = call.laid(found[0]) if found is not None else None
    if found is None or one is None:
        raise not_found("instance")
    return one, found[1]


def found_by(call: Call) -> list[Located]:
    """The instances of the study, series or instance that the path names. Raises Problem 404."""
    path = call.path
    if "instance" in path:
        return [located(call)]
    series = (path["series"],) if "series" in path else ()
    selection = Selection(study_uids=(path["study"],), series_uids=series, access=call.access, view=call.view)
    there = (one for page in locate(call.context.database, selection, page=2000) for one in page)
    found = [one for each in there if (one := call.laid(each)) is not None]
    if not found:
        raise not_found("series" if "series" in path else "study")
    return found
