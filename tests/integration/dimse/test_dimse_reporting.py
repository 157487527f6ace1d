"""N-EVENT-REPORT in all its roles, and how a service waits for its peer to say something."""

import threading

import pytest

from integration.dimse.dimse_services import EXPLICIT, MPPS, QUICK, VERIFICATION, Answering, serving
from isocenter import dimse
from isocenter.dimse import Association, AssociationReleased, Command, Context, Offer, ProposedContext, commands
from isocenter.dimse.client import ClientAssociation
from isocenter.dimse.pdu import Role


def well(association: Association, context: Context, command: Command, data: bytes | None) -> None:
    association.respond(context.id, commands.response(command, 0))


def connect(port: int, *contexts: ProposedContext) -> ClientAssociation:
    return dimse.connect(("127.0.0.1", port), calling="A", called="B", contexts=contexts, settings=QUICK)


@pytest.mark.parametrize(
    ("scu", "scp"), [(True, False), (False, True), (True, True)], ids=["default", "reversed", "both"]
)
def test_a_report_is_heard_whatever_role_was_agreed_on(scu: bool, scp: bool) -> None:
    context = ProposedContext(MPPS, (EXPLICIT,), scu=scu, scp=scp)
    services = {commands.N_EVENT_REPORT_RQ: Answering(well), commands.N_ACTION_RQ: Answering(well)}
    with serving(services) as server, connect(server.port, context) as association:
        (accepted,) = association.contexts.values()
        assert association.event_report(MPPS, "1.2.3", 1, b"said", context=accepted).status == 0
        # all else wants the role
        assert association.n_action(MPPS, "1.2.3", 1, b"do", context=accepted).status == (0 if scu else 0x0211)


def test_the_peer_s_answer_to_role_selection_is_kept() -> None:
    context = ProposedContext(MPPS, (EXPLICIT,), scu=False, scp=True)
    with serving() as server, connect(server.port, context) as association:
        assert association.peer_roles == {MPPS: Role(scu=False, scp=True)}
    with (
        serving(offer=lambda uid: Offer((EXPLICIT,), scu=True, scp=False)) as server,
        connect(server.port, context) as association,
    ):
        assert association.peer_roles == {MPPS: Role(scu=False, scp=False)}
        assert not association.contexts


@pytest.mark.parametrize("then", ["nothing", "echo", "release", "abort"])
def test_a_service_waits_while_the_peer_is_silent(then: str) -> None:
    seen: list[tuple[bool, bool]] = []
    done = threading.Event()

    def act(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        association.respond(context.id, commands.response(command, 0))
        silent = association.silent(0.05 if then == "nothing" else 30.0)
        seen.append((silent, association.open))
        done.set()

    contexts = [ProposedContext(MPPS, (EXPLICIT,)), ProposedContext(VERIFICATION, (EXPLICIT,))]
    with serving({commands.N_ACTION_RQ: Answering(act)}) as server:
        association = connect(server.port, *contexts)
        assert association.n_action(MPPS, "1.2.3", 1, b"please").status == 0
        if then == "echo":
            assert association.echo() == 0
        if then == "abort":
            association.abort()
        elif then == "release":
            association.release()
        assert done.wait(30)
        association.close()
    assert seen == [{"nothing": (True, True), "echo": (False, True)}.get(then, (False, False))]


def test_a_release_that_crosses_a_report_is_answered() -> None:
    ended: list[type[BaseException]] = []

    def act(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        association.respond(context.id, commands.response(command, 0))
        try:
            association.invoke(context.id, commands.event_report_rq(MPPS, "1.2.3", 1), b"said")
        except AssociationReleased as error:
            ended.append(type(error))
            raise

    with serving({commands.N_ACTION_RQ: Answering(act)}) as server:
        association = connect(server.port, ProposedContext(MPPS, (EXPLICIT,)))
        context = association.context_for(MPPS)
        association.request(context.id, commands.n_action_rq(MPPS, "1.2.3", 1), b"please")
        association.release()  # without a look at what comes
    assert ended == [AssociationReleased]
