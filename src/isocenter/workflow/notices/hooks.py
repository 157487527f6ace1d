"""Web hooks: an event as JSON, signed, by HTTP POST (docs/notifications.md).

    Isocenter-Delivery: the same at each try, so that a receiver can tell what it has had
    Isocenter-Timestamp: seconds since 1970, of this try
    Isocenter-Signature: v1=HMAC-SHA256 of `timestamp.body` with the hook's secret, hexadecimal

An answer of 2xx within the time is success, and none else: redirections are not followed. 408, 425, 429, 5xx and no
answer are tried again later, another 4xx or 3xx is not.
"""

import hashlib
import hmac
import http.client
import json
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from isocenter import __version__
from isocenter.config.notices import WebHook
from isocenter.database import Database
from isocenter.jobs.runner import Running
from isocenter.workflow import completeness
from isocenter.workflow.notices.contents import described
from isocenter.workflow.notices.delivering import Account
from isocenter.workflow.notices.outgoing import Destination, Notice
from isocenter.workflow.notices.plan import Plan
from isocenter.workflow.outgoing import counted

_PASSING: Final = frozenset({408, 425, 429})
_ANSWER: Final = 1 << 16
"""Bytes of an answer that are read."""


class Hooks:
    """The way of web hooks (`delivering.Way`)."""

    def __init__(self, database: Database, plan: Plan) -> None:
        self._database, self._plan = database, plan

    def tell(self, destination: Destination, due: Sequence[Notice], account: Account, running: Running) -> None:
        """See `delivering.Way`. What follows one that could not be told at all is left for later."""
        hook = self._plan.hook(destination.destination)
        if hook is None:
            for one in due:
                account.failed(one, "no such hook is configured", passing=False)
            return
        reached = True
        for one in due:
            if running.cancelled() or running.stopping:
                return
            if reached:
                reached = self._one(hook, one, account)
            else:
                account.failed(one, "the server can't be reached")

    def _one(self, hook: WebHook, one: Notice, account: Account) -> bool:
        """Whether the server answered."""
        body = self._body(hook, one)
        try:
            status = post(hook, body, one.sop_uid)
        except (OSError, http.client.HTTPException, ValueError) as fault:
            account.failed(one, f"the server can't be reached ({type(fault).__name__})")
            return False
        if 200 <= status < 300:
            account.sent(one, status)
        else:
            passing = status in _PASSING or status >= 500
            account.failed(one, f"the server answered {status}", status, passing=passing)
        return True

    def _body(self, hook: WebHook, one: Notice) -> bytes:
        told: dict[str, Any] = {"id": one.sop_uid, "event": one.event, "at": _iso(one.created_at)}
        if one.study_uid:
            told["study"] = self._study(one.study_uid, patient=hook.patient)
        if one.payload.get("sop_uid"):
            told["step"] = {"SOPInstanceUID": one.payload["sop_uid"]}
        return json.dumps(told, ensure_ascii=False).encode()

    def _study(self, study_uid: str, *, patient: bool) -> dict[str, Any]:
        with self._database.reading() as connection:
            content = described(connection, study_uid)
            count = counted(connection, study_uid)
            state = completeness.state_of(connection, study_uid)
        told: dict[str, Any] = {"StudyInstanceUID": study_uid}
        if content is not None:
            told |= {"AccessionNumber": content.accession, "series": count.series, "instances": count.instances}
        if state is not None and state.times:
            told["completed"] = state.times
        if patient and content is not None:
            told["patient"] = {
                "PatientID": content.patient_id,
                "IssuerOfPatientID": content.issuer,
                "PatientName": content.patient_name,
                "PatientBirthDate": content.birth_date,
            }
        return told


def post(hook: WebHook, body: bytes, delivery: str) -> int:
    """The status of the answer. Raises OSError or HTTPException where there is none."""
    parts = urlsplit(hook.url)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"isocenter/{__version__}",
        "Isocenter-Delivery": delivery,
        **signed(hook.secret, body, int(time.time())),
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connection(hook, parts.scheme, parts.hostname or "", parts.port)
    try:
        connection.request("POST", target, body, headers)
        answer = connection.getresponse()
        answer.read(_ANSWER)
        return answer.status
    finally:
        connection.close()


def signed(secret: str, body: bytes, at: int) -> dict[str, str]:
    """The headers that tell when a body was sent, and by whom."""
    headers = {"Isocenter-Timestamp": str(at)}
    if secret:
        code = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers["Isocenter-Signature"] = f"v1={code}"
    return headers


def _connection(hook: WebHook, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=hook.timeout)
    context = ssl.create_default_context(cafile=str(hook.trusted) if hook.trusted else None)
    return http.client.HTTPSConnection(host, port, timeout=hook.timeout, context=context)


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
