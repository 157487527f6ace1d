"""Errors as HTTP tells them: status, headers and a `application/problem+json` body (RFC 9457).

A body names what the client can change; it never repeats a value that may be a patient's.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from isocenter.declarations.statuses import http_status
from isocenter.errors import IsocenterError, Reason, Refused, Retriable

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER = 5
"""Seconds after which a client that found us short of something may try again."""


class Problem(Exception):
    """A request that ends with `status`. `detail` is a sentence for the client's developer."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def body(self) -> bytes:
        """The RFC 9457 object."""
        title = HTTPStatus(self.status).phrase
        return json.dumps({"title": title, "status": self.status, "detail": self.detail}, ensure_ascii=False).encode()


def problem_of(error: IsocenterError) -> Problem:
    """How HTTP says `error`. What may pass is 503 with Retry-After, whatever its reason."""
    if isinstance(error, Retriable):
        return Problem(503, error.comment or str(error.reason), {"Retry-After": str(RETRY_AFTER)})
    return Problem(http_status(error.reason), error.comment or str(error.reason))


def bad_request(detail: str) -> Problem:
    """400."""
    return Problem(400, detail)


def not_found(what: str) -> Problem:
    """404: `what` (a study, a frame) isn't here."""
    return Problem(404, f"no such {what}")


def not_acceptable(detail: str) -> Problem:
    """406."""
    return Problem(406, detail)


_OF_PIXELS = frozenset({Reason.CANNOT_UNDERSTAND, Reason.UNABLE_TO_PROCESS, Reason.PROCESSING_FAILURE})


@contextmanager
def showing() -> Iterator[None]:
    """Around the making of a picture: an object whose pixels are damaged, or bring a codec down, can't be had as one,
    406."""
    try:
        yield
    except Refused as fault:
        if fault.reason not in _OF_PIXELS:
            raise
        raise Problem(406, f"the object can't be shown: {fault.comment or fault.reason}") from fault
