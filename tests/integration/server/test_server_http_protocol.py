"""Large request bodies, received straight into the buffers that they are worked on in."""

import contextlib
import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from isocenter.server.http_protocol import Protocol
from isocenter.web.body import BODY
from servers import PATIENCE

LARGE = random.Random(1).randbytes(5_300_000)
SMALL = LARGE[:1000]


class App:
    """Answers with the digest of the body, and whether it came by the extension. /refused: without reading it; /seen:
    reads a piece and answers."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self.begun = threading.Event()
        self.pieces: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        offered = BODY in scope.get("extensions", {})
        take = scope["extensions"][BODY] if offered else receive
        digest, more, found = hashlib.sha256(), scope["path"] != "/refused", b""
        while more:
            message = await take()
            self.begun.set()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            digest.update(message["body"])
            self.pieces.append(len(message["body"]))
            more = message["more_body"] and scope["path"] != "/seen"
        found = digest.hexdigest().encode() + (b" offered" if offered else b"")
        headers = [(b"content-length", str(len(found)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": found})


@contextlib.contextmanager
def served(app: App) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=Protocol, loop="uvloop", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def connection(app: App) -> Iterator[socket.socket]:
    with served(app) as port, socket.create_connection(("127.0.0.1", port), PATIENCE) as made:
        yield made


def request(body: bytes, path: str = "/", more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def answer(connection: socket.socket) -> bytes:
    """The body of the next answer, whose length is told."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += received(connection)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += received(connection)
    assert len(body) == length
    return body


def received(connection: socket.socket) -> bytes:
    found = connection.recv(1)  # no more: what follows is another answer's
    assert found, "the connection was closed"
    return found


def digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def test_a_large_body_comes_whole_in_large_pieces_and_the_connection_goes_on(
    app: App, connection: socket.socket
) -> None:
    for body in (LARGE, LARGE[: 1 << 18], LARGE[:2_000_001]):
        connection.sendall(request(body))
        assert answer(connection) == digest(body) + b" offered"
    connection.sendall(request(SMALL))
    assert answer(connection) == digest(SMALL)
    assert max(app.pieces) == 1 << 20


def test_a_request_may_follow_at_once(connection: socket.socket) -> None:
    sender = threading.Thread(target=connection.sendall, args=(request(LARGE) + request(SMALL) + request(LARGE),))
    sender.start()
    assert answer(connection) == digest(LARGE) + b" offered"
    assert answer(connection) == digest(SMALL)
    assert answer(connection).startswith(digest(LARGE))  # where it had to queue, by the usual way
    sender.join()


@pytest.mark.parametrize("path", ["/refused", "/seen"])
def test_what_is_left_of_a_body_that_is_answered_early_is_passed_over(connection: socket.socket, path: str) -> None:
    sender = threading.Thread(target=connection.sendall, args=(request(LARGE, path) + request(SMALL),))
    sender.start()
    assert len(answer(connection)) == 64 + len(" offered")
    assert answer(connection) == digest(SMALL)
    sender.join()


def test_a_client_that_breaks_off_is_told_of(app: App, connection: socket.socket) -> None:
    connection.sendall(request(LARGE)[:3_000_000])
    assert app.begun.wait(PATIENCE)
    connection.close()
    assert app.gone.wait(PATIENCE)


def test_a_client_may_wait_until_its_body_is_asked_for(connection: socket.socket) -> None:
    connection.sendall(request(LARGE, more="Expect: 100-continue\r\n")[: -len(LARGE)])
    asked = b""
    while not asked.endswith(b"\r\n\r\n"):
        asked += received(connection)
    assert asked.startswith(b"HTTP/1.1 100 ")
    connection.sendall(LARGE)
    assert answer(connection) == digest(LARGE) + b" offered"


def test_a_body_of_unknown_length_comes_the_usual_way(connection: socket.socket) -> None:
    connection.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LARGE), LARGE))
    assert answer(connection) == digest(LARGE)


def test_a_slow_body_comes_whole(connection: socket.socket) -> None:
    whole = request(LARGE)
    for at in range(0, len(whole), 300_007):
        connection.sendall(whole[at : at + 300_007])
    assert answer(connection) == digest(LARGE) + b" offered"
