"""In which media types a client takes pictures, documents and videos (PS3.18 8.7.4)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from isocenter.imaging.picture import MEDIA_TYPES
from isocenter.web import media
from isocenter.web.media import MediaType

_ALIASES: Final = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/j2k": "image/jp2"}


class Wish(NamedTuple):
    """One way that the client takes what it asked for."""

    range: str
    """A media type or range, of the parts where there are parts."""
    multipart: bool

    def pick(self, offered: Iterable[str]) -> str | None:
        """The first of the offered types that it includes."""
        return next((kind for kind in offered if media.covers(self.range, kind)), None)


def wishes(accepted: Sequence[MediaType]) -> list[Wish]:
    """The acceptable ways, best first; anything, where the client doesn't say."""
    return list(_wishes(accepted)) if accepted else [Wish("*/*", multipart=False)]


def _wishes(accepted: Sequence[MediaType]) -> Iterator[Wish]:
    for kind in accepted:
        any_parts = kind.name == "multipart/*"
        name = "*/*" if any_parts else kind.root
        yield Wish(_ALIASES.get(name, name), kind.multipart or any_parts)


def picture_type(accepted: Sequence[MediaType]) -> str | None:
    """The media type of one picture; None where the client takes none."""
    return next((kind for wish in wishes(accepted) if (kind := wish.pick(MEDIA_TYPES))), None)
