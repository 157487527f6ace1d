"""What a policy admits an association with: settings of its own, and a basis for the services."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from integration.dimse.dimse_services import CT, ECHO, IMPLICIT, QUICK, VERIFICATION, Storing
from isocenter import dimse
from isocenter.dimse import (
    Acceptor,
    Admission,
    AssociateRequest,
    Offer,
    ProposedContext,
    Service,
    Settings,
    commands,
)
from isocenter.dimse.negotiation import accept
from scripted_peer import ScriptedPeer


class Admitting:
    """Admits with the settings and the basis of the called title."""

    def __init__(self, **settings: Settings) -> None:
        self._settings = settings

    def negotiate(self, request: AssociateRequest, address: str, port: int, session: object) -> Admission:
        """See `dimse.Policy`."""
        own = self._settings[request.called]
        answer = accept(request, lambda _: Offer(()), settings=own)
        return Admission(answer, own, basis=f"the basis of {request.called}")


@contextlib.contextmanager
def admitting(service: Service = ECHO, **settings: Settings) -> Iterator[tuple[Acceptor, int]]:
    """An acceptor whose own settings are generous."""
    acceptor = Acceptor(Admitting(**settings), lambda context, command: service, QUICK)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        try:
            yield acceptor, listener.getsockname()[1]
        finally:
            acceptor.stop()
            thread.join(10)


def test_the_services_see_the_basis() -> None:
    with admitting(SCP=QUICK) as (acceptor, port):
        contexts = [ProposedContext(VERIFICATION, (IMPLICIT,))]
        with dimse.connect(("127.0.0.1", port), calling="SCU", called="SCP", contexts=contexts) as association:
            assert association.echo() == 0
            assert [each.basis for each in acceptor.associations] == ["the basis of SCP"]
            assert association.basis is None


@pytest.mark.req("I-ASSOC-04")
def test_the_associations_own_idle_time_out_ends_it() -> None:
    with admitting(ACCEPTOR=replace(QUICK, idle=0.05)) as (_, port), ScriptedPeer.call(port) as peer:
        peer.associate()
        assert peer.aborted() is not None


@pytest.mark.req("I-ASSOC-04")
def test_a_longer_pdu_than_was_announced_is_refused() -> None:
    with admitting(ACCEPTOR=replace(QUICK, max_pdu=16384)) as (_, port), ScriptedPeer.call(port) as peer:
        assert peer.associate().user.max_pdu == 16384
        peer.send(struct.pack(">BxI", 4, 100_000))  # the acceptor's own settings would take it
        assert peer.aborted() is not None


@pytest.mark.req("I-ASSOC-04")
def test_a_longer_pdu_than_the_acceptors_is_taken_where_it_was_announced() -> None:
    longest, storing = 1 << 20, Storing()
    contexts = [ProposedContext(CT, (IMPLICIT,))]
    with (
        admitting(storing, SCP=replace(QUICK, max_pdu=longest)) as (_, port),
        dimse.connect(
            ("127.0.0.1", port), calling="SCU", called="SCP", contexts=contexts,
            settings=replace(QUICK, max_pdu_sent=longest),
        ) as association,
    ):  # fmt: skip
        data = bytes(QUICK.max_pdu * 2)
        assert association.invoke(1, commands.store_rq(CT, "1.2.3"), data).status == 0


def test_a_bare_acceptance_has_the_acceptors_settings() -> None:
    policy = dimse.TitlePolicy(lambda _: Offer(()), settings=QUICK)
    acceptor = Acceptor(policy, lambda context, command: ECHO, replace(QUICK, idle=0.05))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=acceptor.serve, args=(listener,))
        thread.start()
        with ScriptedPeer.call(listener.getsockname()[1]) as peer:
            peer.associate()
            assert peer.aborted() is not None
        acceptor.stop()
        thread.join(10)
