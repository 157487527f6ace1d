"""What a WADO-WS request asks for, as `reading` finds it in the envelope."""

from collections.abc import Mapping
from typing import NamedTuple

from isocenter.archive.xpaths.work import Expression
from isocenter.web.wado_ws.vocabulary import Operation


class Wanted(NamedTuple):
    """One document that is asked for, with what is said of it alone."""

    study: str
    series: str
    document: str
    """The SOP Instance UID."""
    repository: str
    community: str
    """HomeCommunityId, '' where there is none; echoed, as the repository is."""
    parameters: Mapping[str, str]
    """Texts of the further elements by local name: FrameNumber, Rows, WindowCenter; those in Region as `Xmin` ..."""
    content_types: tuple[str, ...]
    """Media types in which it is taken, best first."""
    expressions: tuple[Expression, ...]


class Addressing(NamedTuple):
    """The WS-Addressing headers of a request, '' where absent."""

    action: str = ""
    message_id: str = ""


class Request(NamedTuple):
    """One request."""

    soap: str
    """The namespace of its SOAP version."""
    addressing: Addressing
    operation: Operation
    documents: tuple[Wanted, ...]
    syntaxes: tuple[str, ...]
    """Transfer syntaxes that are taken, best first; none where it doesn't say."""
