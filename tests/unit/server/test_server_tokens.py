"""The admin token and the layer that asks for it."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from isocenter.server import tokens
from isocenter.server.auth import TokenAuth


def test_the_token_is_made_once_and_kept_as_a_digest(tmp_path: Path) -> None:
    token = tokens.make(tmp_path)
    assert token is not None
    assert tokens.make(tmp_path) is None
    file = tmp_path / tokens.FILE_NAME
    assert token not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert tokens.Gate(tmp_path).admits(token)


def test_a_renewed_token_works_at_once_and_the_old_one_no_more(tmp_path: Path) -> None:
    old = tokens.renew(tmp_path)
    gate = tokens.Gate(tmp_path)
    new = tokens.renew(tmp_path)
    assert gate.admits(new)
    assert not gate.admits(old)


def test_without_any_token_nothing_is_admitted(tmp_path: Path) -> None:
    assert not tokens.Gate(tmp_path).admits("")
    assert not tokens.Gate(tmp_path).admits("x")


def test_a_configured_token_counts_alone(tmp_path: Path) -> None:
    made = tokens.renew(tmp_path)
    gate = tokens.Gate(tmp_path, "mine")
    assert gate.admits("mine")
    assert not gate.admits(made)


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def status(tmp_path: Path, path: str, authorization: str = "") -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    headers = [(b"authorization", authorization.encode("latin-1"))] if authorization else []
    scope = {"type": "http", "path": path, "headers": headers}
    asyncio.run(TokenAuth(app, tokens.Gate(tmp_path, "right"))(scope, receive, send))
    return int(sent[0]["status"])


def basic(credentials: bytes) -> str:
    return "Basic " + base64.b64encode(credentials).decode()


@pytest.mark.req("I-SEC-07")
@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("", 401),
        ("Bearer right", 200),
        ("bearer right ", 200),
        ("Bearer wrong", 401),
        (basic(b"anyone:right"), 200),
        (basic(b"anyone:wrong"), 401),
        ("Basic %%%", 401),
        (basic(b"\xff:\xff"), 401),
        ("Digest right", 401),
    ],
)
def test_the_layer_asks_for_the_token(tmp_path: Path, authorization: str, expected: int) -> None:
    assert status(tmp_path, "/dicom-web/studies", authorization) == expected


def test_health_needs_no_token(tmp_path: Path) -> None:
    assert status(tmp_path, "/health/live") == 200
    assert status(tmp_path, "/metrics") == 401
