"""The acceptor: limits, several ports and processes, draining, stopping, TLS."""

import contextlib
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Hashable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.dimse.dimse_services import CT, ECHO, QUICK, VERIFICATION, Answering, Storing, serving
from isocenter import dimse
from isocenter.dimse import (
    Acceptor,
    Association,
    BytesSource,
    Command,
    Context,
    LocalCounter,
    Offer,
    PeerUnreachable,
    ProposedContext,
    RejectedPermanently,
    RejectedTransiently,
    TitlePolicy,
    commands,
)
from isocenter.dimse.client import ClientAssociation
from isocenter.dimse.pdu import Abort, AssociateReject
from isocenter.errors import Refused, Retriable
from scripted_peer import ScriptedPeer, message, request

CONTEXTS = [ProposedContext(VERIFICATION, ("1.2.840.10008.1.2",))]


def call(port: int, *, called: str = "SCP", ssl: ssl.SSLContext | None = None) -> ClientAssociation:
    return dimse.connect(("127.0.0.1", port), calling="SCU", called=called, contexts=CONTEXTS, settings=QUICK, ssl=ssl)


@pytest.mark.req("I-ASSOC-07", "I-ASSOC-32", "I-ASSOC-55", "M-ASSOC-05")
def test_one_more_than_the_limit_is_rejected_and_may_come_again() -> None:
    counter = LocalCounter(2)
    with serving(counter=counter) as server, call(server.port) as first, call(server.port):
        with pytest.raises(RejectedTransiently) as rejection:
            call(server.port)
        assert (rejection.value.result, rejection.value.source, rejection.value.rejection) == (2, 3, 2)
        assert isinstance(rejection.value, Retriable)
        first.release()
        while counter.count > 1:
            server.acceptor._wait(0.01)
        with call(server.port) as third:
            assert third.echo() == 0


def test_the_counter_hears_who_comes_and_goes() -> None:
    heard: list[object] = []
    left = threading.Event()

    class Counting:
        def enter(self, called: str, calling: str, address: str, port: int) -> Hashable | None:
            heard.append((called, calling, address))
            return 42

        def leave(self, place: Hashable) -> None:
            heard.append(place)
            left.set()

    with serving(counter=Counting()) as server:
        with call(server.port):
            pass
        assert left.wait(10)
    assert heard == [("SCP", "SCU", "127.0.0.1"), 42]


def test_more_connections_than_threads_are_closed() -> None:
    with (
        serving(settings=replace(QUICK, max_connections=2)) as server,
        ScriptedPeer.call(server.port),
        ScriptedPeer.call(server.port),
        ScriptedPeer.call(server.port) as third,
    ):
        assert third.pdu() is None


@pytest.mark.req("M-ASSOC-08", "P-ASSOC-06")
def test_an_unknown_title_is_rejected_for_good() -> None:
    with serving(called="ARCHIVE") as server:
        with pytest.raises(RejectedPermanently) as rejection:
            call(server.port, called="OTHER")
        assert isinstance(rejection.value, Refused)
        assert (rejection.value.result, rejection.value.source, rejection.value.rejection) == (1, 1, 7)


def test_several_ports_and_several_acceptors_on_one_port() -> None:
    """Listeners are shared: whoever doesn't get a connection goes on waiting."""
    policy = TitlePolicy(lambda uid: Offer(()), settings=QUICK)
    acceptors = [Acceptor(policy, lambda context, command: ECHO, QUICK) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        threads = [threading.Thread(target=acceptor.serve, args=listeners) for acceptor in acceptors]
        for thread in threads:
            thread.start()
        for listener in 10 * listeners:
            with call(listener.getsockname()[1]) as association:
                assert association.echo() == 0
        for acceptor, thread in zip(acceptors, threads, strict=True):
            assert acceptor.stop()
            thread.join(10)
            assert not thread.is_alive()


def test_a_listener_that_was_shut_down_ends_accepting() -> None:
    acceptor = Acceptor(TitlePolicy(lambda uid: Offer(())), lambda context, command: ECHO)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        with call(listener.getsockname()[1]) as association:
            association.echo()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive()
    assert acceptor.stop()


class Held:
    """A storage service that waits before it answers."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

        def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
            self.began.set()
            assert self.go_on.wait(10)
            association.respond(context.id, commands.response(command, 0))

        self.service = Answering(answer)


def test_stop_lets_the_operation_answer_and_then_aborts() -> None:
    held = Held()
    with serving({commands.C_STORE_RQ: held.service}) as server, ScriptedPeer.call(server.port) as peer:
        peer.associate(request(CT))
        peer.send(message(1, commands.store_rq(CT, "1.2.3"), b"data"))
        assert held.began.wait(10)
        stopping = threading.Thread(target=server.acceptor.stop)
        stopping.start()
        server.thread.join(10)
        held.go_on.set()
        assert peer.message()[1][commands.STATUS] == 0
        assert peer.aborted() == Abort(0)
        stopping.join(10)


def test_draining_takes_no_more_and_waits_for_the_busy() -> None:
    held = Held()
    with (
        serving({commands.C_STORE_RQ: held.service}) as server,
        ScriptedPeer.call(server.port) as busy,
        ScriptedPeer.call(server.port) as quiet,
    ):
        busy.associate(request(CT))
        quiet.associate()
        busy.send(message(1, commands.store_rq(CT, "1.2.3"), b"data"))
        assert held.began.wait(10)
        results: list[bool] = []
        draining = threading.Thread(target=lambda: results.append(server.acceptor.drain(20, quiet=0.1)))
        draining.start()
        server.thread.join(10)
        assert quiet.aborted() == Abort(0)
        held.go_on.set()
        assert busy.message()[1][commands.STATUS] == 0
        assert busy.aborted() == Abort(0)
        draining.join(20)
        assert results == [True]


def test_a_policy_that_fails_costs_one_connection() -> None:
    class Broken:
        def negotiate(self, *_: object) -> AssociateReject:
            raise RuntimeError

    acceptor = Acceptor(Broken(), lambda context, command: ECHO)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        for _ in range(2):
            with ScriptedPeer.call(listener.getsockname()[1]) as peer:
                peer.send(request())
                assert peer.pdu() is None
        acceptor.stop()
        thread.join(10)


@pytest.fixture(name="certificate", scope="module")
def fixture_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run([*command, *subject, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl can't make a certificate here")
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture(name="contexts")
def fixture_contexts(certificate: Path) -> Iterator[tuple[ssl.SSLContext, ssl.SSLContext]]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    return server, ssl.create_default_context(cafile=certificate)


@pytest.mark.parametrize("length", [10, 3_000_000])
def test_tls(contexts: tuple[ssl.SSLContext, ssl.SSLContext], length: int) -> None:
    storing = Storing()
    with (
        serving({commands.C_STORE_RQ: storing}, ssl_context=contexts[0]) as server,
        dimse.connect(
            ("127.0.0.1", server.port),
            calling="A",
            called="B",
            contexts=[*CONTEXTS, ProposedContext(CT, ("1.2.840.10008.1.2",))],
            settings=QUICK,
            ssl=contexts[1],
        ) as association,
    ):
        assert association.echo() == 0
        body = os.urandom(length)
        assert association.store(association.context_for(CT).id, CT, "1.2.3", BytesSource(body)) == 0
        assert association.echo() == 0
    assert storing.stored[0][2] == body


def test_tls_find_with_cancel(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    from integration.dimse.dimse_services import FIND
    from integration.dimse.test_dimse_association import finding

    service, left = finding(1_000_000)
    with serving({commands.C_FIND_RQ: service}, ssl_context=contexts[0]) as server:
        proposed = [ProposedContext(FIND, ("1.2.840.10008.1.2",))]
        with dimse.connect(
            ("127.0.0.1", server.port), calling="A", called="B", contexts=proposed, settings=QUICK, ssl=contexts[1]
        ) as association:
            for response in association.find(FIND, b"identifier"):
                if response.data == b"row 000020":
                    break
    assert sum(left) < 1_000_000


def test_a_handshake_that_stalls_or_fails_harms_nobody(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with serving(settings=replace(QUICK, artim=0.5), ssl_context=contexts[0]) as server:
        with ScriptedPeer.call(server.port) as silent, ScriptedPeer.call(server.port) as plain:
            plain.send(request())
            with call(server.port, ssl=contexts[1]) as association:
                assert association.echo() == 0
            plain.aborted()
            assert silent.pdu() is None
        with pytest.raises(PeerUnreachable, match="TLS"):
            call(server.port, ssl=ssl.create_default_context())
