"""WADO-URI: one object, or a picture of one of its frames, by query parameters (PS3.18 chapter 9).

    GET /wado?requestType=WADO&studyUID=...&seriesUID=...&objectUID=...&contentType=image/jpeg

Without `contentType` and Accept an image of one frame comes as JPEG, anything else as `application/dicom`; who names a
frame or a window wants a picture (PS3.18 8.7.4).
"""

from typing import Final

from starlette.types import Receive, Scope, Send

from isocenter.archive.retrieval.contained import contained_in, may_contain
from isocenter.archive.retrieval.instances import Located, locate_one, reader
from isocenter.imaging.picture import MEDIA_TYPES
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.context import WebContext
from isocenter.web.dicomweb.picture_media import wishes
from isocenter.web.dicomweb.rendered import Shower, Shown
from isocenter.web.edge import answered
from isocenter.web.media import MediaType
from isocenter.web.problem import Problem, bad_request, not_acceptable, not_found
from isocenter.web.reply import Reply
from isocenter.web.wado_uri import anonymized, objects
from isocenter.web.wado_uri.parameters import Asked, asked_of

MOUNT: Final = "/wado"
_ALLOWED: Final = "GET, HEAD, OPTIONS"


class WadoUri:
    """The URI service as an ASGI application, at `MOUNT`."""

    def __init__(self, context: WebContext) -> None:
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever fails becomes a problem document."""
        await answered(scope, receive, send, self._answer)

    async def _answer(self, scope: Scope, receive: Receive, method: str) -> Reply:
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
        if path.removeprefix(MOUNT) not in ("", "/"):
            raise Problem(404, "no such resource")
        if method == "OPTIONS":
            return Reply(204, {"Allow": _ALLOWED})
        if method != "GET":
            raise Problem(405, f"the URI service takes {_ALLOWED}", {"Allow": _ALLOWED})
        return await retrieve(Call(scope, receive, self.context, {}))


async def retrieve(call: Call) -> Reply:
    """GET: the object or the picture that the query asks for."""
    asked = asked_of(call.query)
    lanes, names = call.context.lanes, {one.name for one in asked.types}
    if asked.drawn or (names and names.issubset(MEDIA_TYPES)):
        return await lanes.render.run(_reply, call, asked)
    if asked.syntaxes or names == {media.DICOM}:
        return await lanes.retrieve.run(_reply, call, asked)
    # the object tells what it comes as, and so which lane it is for
    one, kind = await lanes.retrieve.run(_chosen, call, asked)
    lane = lanes.retrieve if kind == media.DICOM else lanes.render
    return await lane.run(_made, call, asked, one, kind)


def _reply(call: Call, asked: Asked) -> Reply:
    return _made(call, asked, *_chosen(call, asked))


def _chosen(call: Call, asked: Asked) -> tuple[Located, str]:
    """The instance and the media type that it leaves in. Raises Problem 400, 404, 406."""
    names = (asked.study_uid, asked.series_uid, asked.sop_uid)
    found = locate_one(call.context.database, *names, call.access, call.view)
    one = call.laid(found) if found is not None else None
    if one is None:
        raise not_found("instance")
    frames = max(one.frames or 1, 1)
    if asked.frame is not None and asked.frame > frames:
        raise bad_request(f"frameNumber is beyond the object's {frames} frames")
    return one, _media_type(call, asked, one)


def _media_type(call: Call, asked: Asked, one: Located) -> str:
    """The best of what is wished for that the object can be had in. Raises Problem 406."""
    offered = _offered(call, asked, one)
    for wish in wishes(_wished(asked, call.accepted)):
        kind = wish.pick(offered)
        if kind is not None:
            return kind
    if not offered:
        raise not_acceptable("this object has no pixels that can be drawn")
    raise not_acceptable(f"this object can be had as {', '.join(offered)}")


def _wished(asked: Asked, accepted: list[MediaType]) -> list[MediaType]:
    """`contentType`, as far as Accept has it too; where the two have nothing in common the parameter, which a link can
    carry, counts (PS3.18 8.3.3.1)."""
    if not asked.types:
        return accepted
    both = [one for one in asked.types if any(media.covers(wide.name, one.name) for wide in accepted)]
    return both or list(asked.types)


def _offered(call: Call, asked: Asked, one: Located) -> tuple[str, ...]:
    """The media types of the object, its default first."""
    pictures = call.context.rendering.renderable(one)
    if asked.drawn:
        return pictures
    if asked.syntaxes:
        return (media.DICOM,)
    if may_contain(one):
        with reader(call.context.store, one) as opened:
            found = contained_in(one, opened)
        return (media.DICOM, *(found.media_types if found is not None else ()))
    if not pictures:
        return (media.DICOM,)
    return (*pictures, media.DICOM) if max(one.frames or 1, 1) == 1 else (media.DICOM, *pictures)


def _made(call: Call, asked: Asked, one: Located, kind: str) -> Reply:
    if kind != media.DICOM:
        return _shown(call, asked, one, kind)
    if asked.anonymize:
        return anonymized.object_reply(call, one, asked)
    return objects.object_reply(call, one, asked)


def _shown(call: Call, asked: Asked, one: Located, kind: str) -> Reply:
    picture, warnings = asked.picture, []
    if asked.anonymize:
        warnings = anonymized.check(call, one)
        picture = picture._replace(annotations=(), overlays=False)
    frames = (asked.frame,) if asked.frame is not None else ()
    shown = Shown(one, kind, frames, contained=kind not in MEDIA_TYPES)
    return Shower(call, picture, _state(call, asked)).single(shown, warnings)


def _state(call: Call, asked: Asked) -> Located | None:
    """The presentation state that is asked for: one of the same study (PS3.18 9.5.1.2.4). Raises Problem 404."""
    if asked.presentation is None:
        return None
    found = locate_one(call.context.database, asked.study_uid, *asked.presentation, call.access, call.view)
    if found is None:
        raise not_found("presentation state")
    return found
