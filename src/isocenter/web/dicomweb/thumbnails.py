"""WADO-RS thumbnails (PS3.18 10.4.1.1.4): one small picture of a study, a series, an instance or frames.

What has no pixels that can be decoded is shown as an icon of its kind, so that a list of studies has no holes.
"""

from collections.abc import Sequence
from typing import Final

from isocenter import __version__
from isocenter.archive.retrieval.instances import Located, Selection
from isocenter.archive.retrieval.representative import representative
from isocenter.imaging.picture import MEDIA_TYPES, Picture
from isocenter.web.call import Call
from isocenter.web.conditions import tag_of, unchanged
from isocenter.web.dicomweb.framing import frame_numbers
from isocenter.web.dicomweb.named import located
from isocenter.web.dicomweb.picture_media import picture_type
from isocenter.web.dicomweb.rendered import CACHED, with_warnings
from isocenter.web.picture_parameters import thumbnail_of
from isocenter.web.problem import Problem, not_acceptable, not_found, showing
from isocenter.web.reply import Reply
from isocenter.web.root import study_url

SIDE: Final = 256
"""Pixels of the viewport that is not given."""


async def thumbnail(call: Call) -> Reply:
    """GET .../thumbnail of a study, a series, an instance or frames."""
    picture, unknown = thumbnail_of(call, SIDE)
    numbers = frame_numbers(call.path["frames"]) if "frames" in call.path else []
    kind = picture_type(call.accepted)
    if kind is None:
        raise not_acceptable(f"thumbnails come as {', '.join(MEDIA_TYPES)}")
    picture = picture._replace(media_type=kind, enlarge=False)
    return await call.context.lanes.render.run(_thumbnail, call, picture, numbers, unknown)


def _thumbnail(call: Call, picture: Picture, numbers: Sequence[int], unknown: Sequence[str]) -> Reply:
    one = _standing_for(call)
    if numbers and max(numbers) > max(one.frames or 1, 1):
        raise Problem(404, f"the object has {max(one.frames or 1, 1)} frames")
    # of several frames, the first asked for
    frame = numbers[0] if numbers else None
    tag = tag_of(__version__, one.digest, one.id, one.overlay, frame, picture)
    headers = {"Vary": "Accept", "ETag": tag, "Cache-Control": CACHED}
    if unchanged(call, tag):
        return Reply(304, headers)
    with showing():
        made = call.context.rendering.thumbnail(one, frame, picture)
    headers["Content-Type"] = made.media_type
    headers["Content-Location"] = _where(call, one, frame)
    return Reply(200, with_warnings(headers, ["unknown parameters were passed over"] * bool(unknown)), made.data)


def _standing_for(call: Call) -> Located:
    """The instance whose picture it is. Raises Problem 404."""
    path = call.path
    if "instance" in path:
        return located(call)
    series = (path["series"],) if "series" in path else ()
    selection = Selection((), (path["study"],), series, access=call.access, view=call.view)
    found = representative(call.context.database, selection)
    one = call.laid(found) if found is not None else None
    if one is None:
        raise not_found("series" if series else "study")
    return one


def _where(call: Call, one: Located, frame: int | None) -> str:
    url = study_url(call.root, one.study_uid, one.series_uid, one.sop_uid)
    return f"{url}/thumbnail" if frame is None else f"{url}/frames/{frame}/thumbnail"
