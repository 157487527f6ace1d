"""Errors as HTTP tells them: status, headers and a `application/problem+json` body (RFC 9457).

A body names what the client can change; it never repeats a value that may be a patient's.
"""

import json
from http import HTTPStatus

from isocenter.errors import IsocenterError, Reason, Retriable

MEDIA_TYPE = "application/problem+json"

_STATUS = {
    Reason.OUT_OF_RESOURCES: 503,
    Reason.OUT_OF_STORAGE: 503,
    Reason.CANNOT_UNDERSTAND: 400,
    Reason.BAD_REQUEST: 400,
    Reason.IDENTIFIER_MISMATCH: 400,
    Reason.NOT_AUTHORIZED: 403,
    Reason.NOT_FOUND: 404,
    Reason.NOT_ACCEPTABLE: 406,
    Reason.TRANSFER_SYNTAX_NOT_SUPPORTED: 406,
    Reason.STUDY_MISMATCH: 409,
    Reason.SOP_CLASS_MISMATCH: 409,
    Reason.SOP_INSTANCE_MISMATCH: 409,
    Reason.SOP_CLASS_NOT_SUPPORTED: 409,
    Reason.DUPLICATE_SOP_INSTANCE: 409,
    Reason.TOO_LARGE: 413,
    Reason.TOO_MANY_MATCHES: 413,
}
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
    return Problem(_STATUS.get(error.reason, 500), error.comment or str(error.reason))


def bad_request(detail: str) -> Problem:
    """400."""
    return Problem(400, detail)


def not_found(what: str) -> Problem:
    """404: `what` (a study, a frame) isn't here."""
    return Problem(404, f"no such {what}")


def not_acceptable(detail: str) -> Problem:
    """406."""
    return Problem(406, detail)
