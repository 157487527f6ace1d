"""DICOM over TLS on both sides: who is let in, what is refused, and what it costs when it goes wrong."""

import contextlib
import hashlib
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from certificates import Authority, Issued
from integration.dimse.dimse_services import CT, ECHO, EXPLICIT, QUICK, VERIFICATION, Recording, Storing
from isocenter import dimse
from isocenter.config import Peer, Tls
from isocenter.declarations.tls_profiles import ProfileName
from isocenter.dimse import (
    Acceptor,
    AssociateRequest,
    AssociationAborted,
    BytesSource,
    FileSource,
    Offer,
    Outgoing,
    PeerUnreachable,
    ProposedContext,
    Secure,
    Session,
    Settings,
    commands,
)
from isocenter.dimse.negotiation import Admission, accept
from isocenter.errors import IsocenterError
from isocenter.security.tls import Callers, client_context, server_context
from log_records import fields, logged
from scripted_peer import ScriptedPeer, request

HOST = "127.0.0.1"


@pytest.fixture(name="ca", scope="module")
def fixture_ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(name="server", scope="module")
def fixture_server(ca: Authority) -> Issued:
    return ca.issue("server", kind="rsa")


@pytest.fixture(name="client", scope="module")
def fixture_client(ca: Authority) -> Issued:
    return ca.issue("client")


class Doors:
    """One acceptor with a TLS listener and a plain one."""

    def __init__(self, tls: Tls, settings: Settings, storing: Storing) -> None:
        self.sessions: list[Session | None] = []
        self.storing = storing
        services = {commands.C_ECHO_RQ: ECHO, commands.C_STORE_RQ: storing}
        self.acceptor = Acceptor(
            self, lambda _, command: services.get(commands.number(command, commands.COMMAND_FIELD)), settings,
            ssl_context=server_context(tls),
        )  # fmt: skip

    def negotiate(self, request: AssociateRequest, address: str, port: int, session: Session | None) -> Admission:
        """See `dimse.Policy`."""
        self.sessions.append(session)
        return Admission(accept(request, lambda _: Offer((EXPLICIT,), scu=True, scp=True), settings=QUICK))


@contextlib.contextmanager
def doors(tls: Tls, settings: Settings = QUICK) -> Iterator[tuple[Doors, int, int]]:
    """An acceptor, its TLS port and its plain one."""
    found = Doors(tls, settings, Storing())
    with socket.create_server((HOST, 0)) as secure, socket.create_server((HOST, 0)) as plain:
        serve = found.acceptor.serve
        thread = threading.Thread(target=serve, args=(secure, plain), kwargs={"secure": (secure,)})
        thread.start()
        try:
            yield found, secure.getsockname()[1], plain.getsockname()[1]
        finally:
            assert found.acceptor.stop(10)
            thread.join(10)


def connect(port: int, tls: Secure | ssl.SSLContext | None, settings: Settings = QUICK) -> dimse.ClientAssociation:
    contexts = [ProposedContext(VERIFICATION, (EXPLICIT,)), ProposedContext(CT, (EXPLICIT,))]
    return dimse.connect((HOST, port), calling="SCU", called="SCP", contexts=contexts, settings=settings, ssl=tls)


def echo(port: int, tls: Secure | ssl.SSLContext | None) -> int:
    with connect(port, tls) as association:
        return association.echo()


def offered(ca: Authority, server: Issued, **more: object) -> Tls:
    return Tls(certificate=server.together, trusted=(ca.certificate,), **more)  # type: ignore[arg-type]


def asking(ca: Authority, client: Issued | None, **more: object) -> ssl.SSLContext:
    own = client.together if client else None
    tls = Tls(certificate=own, trusted=(ca.certificate,), **more)  # type: ignore[arg-type]
    return client_context(tls, check_name=True)


@pytest.mark.req("M-SEC-01", "M-SEC-02", "P-SEC-01", "P-SEC-03", "P-SEC-07", "I-SEC-08", "P-NOT-02")
def test_tls_and_plain_side_by_side(ca: Authority, server: Issued, client: Issued) -> None:
    with doors(offered(ca, server)) as (found, secure, plain):
        assert echo(secure, asking(ca, client)) == 0
        assert echo(plain, None) == 0
        over_tls, without = found.sessions
    assert without is None
    assert over_tls is not None
    assert over_tls.version == "TLSv1.3"
    assert over_tls.fingerprint == client.fingerprint.replace(":", "").lower()


@pytest.mark.req("M-SEC-03", "P-SEC-04")
@pytest.mark.parametrize(
    ("profile", "suite"),
    [
        ("bcp195", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("bcp195", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("bcp195-modified", "ECDHE-RSA-CHACHA20-POLY1305"),
        ("non-downgrading", "DHE-RSA-AES128-GCM-SHA256"),
        ("non-downgrading", "DHE-RSA-AES256-GCM-SHA384"),
        ("non-downgrading", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("non-downgrading", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("aes", "AES256-SHA"),
        ("aes", "AES128-SHA"),
    ],
)
def test_each_suite_of_a_profile(
    ca: Authority, server: Issued, client: Issued, profile: ProfileName, suite: str
) -> None:
    context = asking(ca, client)
    context.set_ciphers(suite)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with doors(offered(ca, server, profile=profile)) as (found, secure, _):
        assert echo(secure, context) == 0
        assert found.sessions[0] is not None
        assert found.sessions[0][:2] == ("TLSv1.2", suite)


@pytest.mark.req("M-SEC-02")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(ca: Authority, server: Issued, client: Issued, version: ssl.TLSVersion) -> None:
    context = asking(ca, client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with doors(offered(ca, server, profile="aes")) as (found, secure, _):
        with pytest.raises(PeerUnreachable, match="protocol version"):
            echo(secure, context)
        assert echo(secure, asking(ca, client)) == 0
        assert len(found.sessions) == 1


@pytest.mark.req("M-SEC-03")
@pytest.mark.parametrize("suite", ["AES128-SHA", "AES256-SHA", "ECDHE-RSA-AES128-SHA256", "AES128-GCM-SHA256"])
def test_weak_suites_are_refused(ca: Authority, server: Issued, client: Issued, suite: str) -> None:
    context = asking(ca, client)
    context.set_ciphers(suite)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with doors(offered(ca, server)) as (_, secure, _plain), pytest.raises(PeerUnreachable, match="handshake failure"):
        echo(secure, context)


# --- certificates


def refused(port: int, tls: ssl.SSLContext) -> None:
    """Under TLS 1.3 a client only hears of it once it reads."""
    with pytest.raises((PeerUnreachable, AssociationAborted)):
        echo(port, tls)


@pytest.mark.req("P-SEC-06")
def test_callers_must_show_a_good_certificate(ca: Authority, server: Issued, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").issue("client")
    with doors(offered(ca, server)) as (found, secure, _):
        refused(secure, asking(ca, None))
        refused(secure, asking(ca, stranger))
        refused(secure, asking(ca, ca.issue("late", expired=True)))
        refused(secure, asking(ca, ca.issue("onlyserver", client=False)))
        assert found.sessions == []


@pytest.mark.req("P-SEC-06", "P-SEC-08")
@pytest.mark.parametrize("revocation", ["leaf", "chain"])
def test_revoked_certificates_are_refused(ca: Authority, server: Issued, client: Issued, revocation: str) -> None:
    taken_back = ca.issue("lost")
    lists = (ca.revoking(taken_back),)
    with doors(offered(ca, server, revoked=lists, revocation=revocation)) as (_, secure, _plain):
        assert echo(secure, asking(ca, client)) == 0
        refused(secure, asking(ca, taken_back))
    with doors(offered(ca, taken_back)) as (_, secure, _plain), pytest.raises(PeerUnreachable, match="revoked"):
        echo(secure, asking(ca, client, revoked=lists))


def test_callers_may_be_asked_or_not_be_asked(ca: Authority, server: Issued, client: Issued, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger").issue("client")
    with doors(offered(ca, server, client_certificate="request")) as (found, secure, _):
        assert echo(secure, asking(ca, None)) == 0
        assert echo(secure, asking(ca, client)) == 0
        refused(secure, asking(ca, stranger))
        assert [bool(session and session.fingerprint) for session in found.sessions] == [False, True]
    with doors(offered(ca, server, client_certificate="none")) as (_, secure, _plain):
        assert echo(secure, asking(ca, stranger)) == 0


@pytest.mark.req("P-SEC-07")
def test_whom_we_call_must_show_a_good_certificate(ca: Authority, client: Issued, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    cases = {
        stranger.issue("server"): "issuer certificate|self.signed",
        ca.issue("elsewhere", names=("pacs.example.org",)): "IP address mismatch",
        ca.issue("late", expired=True): "expired",
        ca.issue("onlyclient", server=False): "purpose|certificate",
    }
    for issued, message in cases.items():
        tls = Tls(certificate=issued.together, trusted=(ca.certificate,))
        with doors(tls) as (_, secure, _plain), pytest.raises(PeerUnreachable, match=message):
            echo(secure, asking(ca, client))


def test_a_name_or_a_fingerprint_stands_for_the_host(ca: Authority, client: Issued) -> None:
    elsewhere = ca.issue("elsewhere", names=("pacs.example.org",))
    callers = Callers(Tls(certificate=client.together, trusted=(ca.certificate,)))
    at = {"title": "A", "host": HOST, "tls": True}
    with doors(Tls(certificate=elsewhere.together, trusted=(ca.certificate,))) as (_, secure, _plain):
        assert echo(secure, callers.secure(Peer(**at, tls_name="pacs.example.org"))) == 0
        assert echo(secure, callers.secure(Peer(**at, tls_fingerprint=elsewhere.fingerprint))) == 0
        with pytest.raises(PeerUnreachable, match="fingerprint"):
            echo(secure, callers.secure(Peer(**at, tls_fingerprint=client.fingerprint)))
        with pytest.raises(PeerUnreachable, match="mismatch"):
            echo(secure, callers.secure(Peer(**at, tls_name="other.example.org")))


def test_a_single_certificate_may_be_what_is_trusted(ca: Authority, server: Issued, client: Issued) -> None:
    with doors(Tls(certificate=server.together, trusted=(client.certificate,))) as (_, secure, _plain):
        context = client_context(Tls(certificate=client.together, trusted=(server.certificate,)), check_name=True)
        assert echo(secure, context) == 0
        refused(secure, asking(ca, ca.issue("another")))


# --- what goes wrong


def test_plain_dicom_to_a_tls_port(ca: Authority, server: Issued) -> None:
    with logged("dimse.acceptor") as records, doors(offered(ca, server)) as (found, secure, _):
        with pytest.raises(IsocenterError):
            echo(secure, None)
        with ScriptedPeer.call(secure) as peer:
            peer.send(request())
            assert peer.aborted() is None
        assert found.sessions == []
        assert found.acceptor.stop(10)
    told = [each["how"] for each in fields(records, "connection.ended")]
    assert len(told) == 2
    assert all(how.startswith("TLS handshake: ") for how in told)


def test_tls_to_a_plain_port(ca: Authority, server: Issued, client: Issued) -> None:
    with logged("dimse.acceptor") as records, doors(offered(ca, server)) as (found, _, plain):
        with pytest.raises(PeerUnreachable, match="TLS handshake"):
            echo(plain, asking(ca, client))
        assert echo(plain, None) == 0
        assert found.sessions == [None]
        assert found.acceptor.stop(10)
    assert [each["how"] for each in fields(records, "connection.ended")] == ["no association request"]


def test_a_handshake_that_never_comes_costs_one_connection(ca: Authority, server: Issued, client: Issued) -> None:
    with (
        doors(offered(ca, server), replace(QUICK, artim=1.0)) as (_, secure, _plain),
        ScriptedPeer.call(secure) as silent,
        ScriptedPeer.call(secure) as babbling,
    ):
        babbling.send(b"\x16\x03\x01\x02\x00\x01" + bytes(100))
        assert echo(secure, asking(ca, client)) == 0
        assert silent.pdu() is None
        while babbling.sock.recv(1000):
            pass


def test_stopping_ends_a_handshake_under_way(ca: Authority, server: Issued, client: Issued) -> None:
    with doors(offered(ca, server)) as (found, secure, _), ScriptedPeer.call(secure) as silent:
        assert echo(secure, asking(ca, client)) == 0  # so the other is accepted too
        assert found.acceptor.stop(10)
        assert silent.pdu() is None


def test_a_peer_that_is_cut_off_in_an_object(ca: Authority, server: Issued, client: Issued) -> None:
    with doors(offered(ca, server)) as (found, secure, _):
        association = connect(secure, asking(ca, client))
        stored = association.context_for(CT).id

        def chunks() -> Iterator[bytes]:
            yield bytes(1 << 20)
            assert found.storing.began.wait(10)
            raise dimse.SourceFailed("gone")

        with pytest.raises(AssociationAborted):
            association.store(stored, CT, "1.2.3", BytesSource(chunks()))
        association.close()
        assert found.storing.sinks[0].done.wait(10)
        assert found.storing.sinks[0].abandoned


# --- objects


def test_objects_of_any_length_both_ways(ca: Authority, server: Issued, client: Issued, tmp_path: Path) -> None:
    lengths = (2, 16_384, 16_386, 300_000, 5_000_000)
    for length in lengths:
        (tmp_path / str(length)).write_bytes(hashlib.shake_256(str(length).encode()).digest(length))
    files = {length: (tmp_path / str(length)).open("rb") for length in lengths}
    with contextlib.ExitStack() as stack:
        for file in files.values():
            stack.enter_context(file)
        found, secure, _ = stack.enter_context(doors(offered(ca, server)))
        association = stack.enter_context(connect(secure, asking(ca, client)))
        stored = association.context_for(CT).id
        items = [
            Outgoing(stored, CT, f"1.2.{n}", FileSource(file.fileno(), 0, n), token=n) for n, file in files.items()
        ]
        assert [response.status for _, response in association.store_many(iter(items))] == [0] * len(lengths)
        got = {len(sink.data): sink for sink in found.storing.sinks}
    assert got.keys() == set(lengths)
    assert all(isinstance(sink, Recording) for sink in got.values())
    assert all(sink.data == (tmp_path / str(n)).read_bytes() for n, sink in got.items())


def test_several_under_way_over_tls(ca: Authority, server: Issued, client: Issued) -> None:
    """Reading and answering stay with one thread, since an SSL object takes no two at once."""
    many = replace(QUICK, window=(0, 0))

    class Many(Doors):
        def negotiate(self, request: AssociateRequest, address: str, port: int, session: Session | None) -> Admission:
            answer = accept(request, lambda _: Offer((EXPLICIT,)), settings=many)
            return Admission(answer, many)

    found = Many(offered(ca, server), many, Storing())
    found.storing.overlaps = True  # type: ignore[attr-defined]
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=found.acceptor.serve, args=(listener,))
        thread.start()
        with connect(listener.getsockname()[1], asking(ca, client), replace(QUICK, window=(4, 1))) as association:
            assert association.window == 4
            items = (Outgoing(3, CT, f"1.2.{n}", BytesSource(bytes([n]) * 100_000)) for n in range(50))
            assert {response.status for _, response in association.store_many(items)} == {0}
        assert found.acceptor.stop(10)
        thread.join(10)
    assert sorted(data[0] for _, _, data in found.storing.stored) == list(range(50))
