"""Against pynetdicom, in both roles."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from integration.dimse.dimse_services import (
    CT,
    EXPLICIT,
    FIND,
    GET,
    IMPLICIT,
    MOVE,
    MPPS,
    QUICK,
    VERIFICATION,
    Answering,
    Recording,
    Storing,
    serving,
)
from isocenter import dimse
from isocenter.dimse import Association, BytesSource, Command, Context, Offer, ProposedContext, UserIdentity, commands
from isocenter.dimse.negotiation import QueryExtras, extras_answer

pynetdicom = pytest.importorskip("pynetdicom", reason="pynetdicom isn't installed")


@pytest.fixture(name="ct")
def fixture_ct() -> Any:
    return dcmread(str(get_testdata_file("CT_small.dcm")))


@contextlib.contextmanager
def calling(port: int, *abstracts: str, **options: Any) -> Iterator[Any]:
    ae = pynetdicom.AE("PYNET")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    for uid in abstracts:
        ae.add_requested_context(uid, [EXPLICIT, IMPLICIT])
    association = ae.associate("127.0.0.1", port, **options)
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def encoded(dataset: Dataset, syntax: str) -> bytes:
    from pynetdicom.dsutils import encode

    data: bytes = encode(dataset, syntax == IMPLICIT, True)
    return data


def decoded(data: bytes, syntax: str) -> Dataset:
    from io import BytesIO

    from pynetdicom.dsutils import decode

    found: Dataset = decode(BytesIO(data), syntax == IMPLICIT, True)
    return found


def identifier(**keys: str) -> Dataset:
    dataset = Dataset()
    for key, value in keys.items():
        setattr(dataset, key, value)
    return dataset


def test_it_echoes_and_stores_with_us(ct: Any) -> None:
    storing = Storing()
    with serving({commands.C_STORE_RQ: storing}) as server, calling(server.port, VERIFICATION, CT) as association:
        assert association.send_c_echo().Status == 0
        assert association.send_c_store(ct).Status == 0
    context, _, data = storing.stored[0]
    assert decoded(data, context.transfer_syntax).PixelData == ct.PixelData


def test_it_finds_with_us() -> None:
    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        assert data
        key = decoded(data, context.transfer_syntax).PatientID
        pending = commands.response(command, commands.PENDING)
        rows = [encoded(identifier(PatientID=f"{key}{i}"), context.transfer_syntax) for i in range(20)]
        association.respond_many(context.id, ((pending, row) for row in rows))
        association.respond(context.id, commands.response(command, 0))

    with serving({commands.C_FIND_RQ: Answering(answer)}) as server, calling(server.port, FIND) as association:
        responses = list(association.send_c_find(identifier(PatientID="X"), FIND))
    assert [row.PatientID for _, row in responses[:-1]] == [f"X{i}" for i in range(20)]
    assert responses[-1][0].Status == 0


def test_it_gets_from_us_with_the_role(ct: Any) -> None:
    from pynetdicom import build_role, evt

    received: list[Dataset] = []

    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        target = association.context_for(CT)
        body = encoded(ct, target.transfer_syntax)
        assert association.store(target.id, CT, ct.SOPInstanceUID, BytesSource(body)) == 0
        association.respond(context.id, commands.response(command, 0, completed=1, failed=0, warning=0))

    def handle(event: Any) -> int:
        received.append(event.dataset)
        return 0

    options = {"ext_neg": [build_role(CT, scp_role=True)], "evt_handlers": [(evt.EVT_C_STORE, handle)]}
    with (
        serving({commands.C_GET_RQ: Answering(answer)}) as server,
        calling(server.port, GET, CT, **options) as association,
    ):
        statuses = [s.Status for s, _ in association.send_c_get(identifier(QueryRetrieveLevel="STUDY"), GET)]
    assert statuses[-1] == 0
    assert received[0].PixelData == ct.PixelData


def test_it_uses_the_normalized_services_with_us() -> None:
    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        association.respond(context.id, commands.response(command, 0), data)

    fields = (commands.N_CREATE_RQ, commands.N_SET_RQ, commands.N_ACTION_RQ, commands.N_GET_RQ, commands.N_DELETE_RQ)
    with serving(dict.fromkeys(fields, Answering(answer))) as server, calling(server.port, MPPS) as association:
        step = identifier(PatientID="X")
        assert association.send_n_create(step, MPPS, "1.2.3")[1].PatientID == "X"
        assert association.send_n_set(step, MPPS, "1.2.3")[1].PatientID == "X"
        assert association.send_n_action(step, 1, MPPS, "1.2.3")[1].PatientID == "X"
        assert association.send_n_get([0x00100010], MPPS, "1.2.3")[0].Status == 0
        assert association.send_n_delete(MPPS, "1.2.3").Status == 0


def test_it_negotiates_everything_with_us() -> None:
    from pynetdicom.pdu_primitives import (
        AsynchronousOperationsWindowNegotiation,
        SOPClassCommonExtendedNegotiation,
        SOPClassExtendedNegotiation,
        UserIdentityNegotiation,
    )

    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked, window.maximum_number_operations_performed = 5, 5
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = FIND, b"\x01\x01\x01"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid, common.service_class_uid = FIND, "1.2.840.10008.4.2"
    identity = UserIdentityNegotiation()
    identity.user_identity_type, identity.primary_field, identity.secondary_field = 2, b"user", b"word"
    offer = Offer((EXPLICIT,), extended=extras_answer(QueryExtras(relational=True, fuzzy_names=True)))
    with (
        serving(offer=lambda uid: offer) as server,
        calling(server.port, FIND, ext_neg=[window, extended, common, identity]) as association,
    ):
        (ours,) = server.acceptor.associations
        assert ours.user_identity == UserIdentity(2, b"user", b"word")
        assert ours.contexts[1].extended == b"\x01\x00\x01"
        assert association.acceptor.sop_class_extended == {FIND: b"\x01\x00\x01"}
        assert association.acceptor.asynchronous_operations == (1, 1)


@contextlib.contextmanager
def running(handlers: list[Any], *abstracts: str) -> Iterator[int]:
    ae = pynetdicom.AE("PYNET")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    for uid in abstracts:
        ae.add_supported_context(uid, [EXPLICIT, IMPLICIT], scu_role=uid == CT or None, scp_role=uid == CT or None)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def connect(port: int, *contexts: ProposedContext) -> dimse.ClientAssociation:
    return dimse.connect(("127.0.0.1", port), calling="US", called="PYNET", contexts=contexts, settings=QUICK)


def proposed(uid: str, **roles: bool) -> ProposedContext:
    return ProposedContext(uid, (EXPLICIT, IMPLICIT), **roles)


def test_we_echo_and_store_with_it(ct: Any) -> None:
    received: list[Dataset] = []

    def handle(event: Any) -> int:
        received.append(event.dataset)
        return 0

    with (
        running([(pynetdicom.evt.EVT_C_STORE, handle)], VERIFICATION, CT) as port,
        connect(port, proposed(VERIFICATION), proposed(CT)) as association,
    ):
        assert association.echo() == 0
        context = association.context_for(CT)
        body = encoded(ct, context.transfer_syntax)
        assert association.store(context.id, CT, ct.SOPInstanceUID, BytesSource(body)) == 0
    assert received[0].PixelData == ct.PixelData


def test_we_find_and_cancel_with_it() -> None:
    def handle(event: Any) -> Iterator[Any]:
        for i in range(200):
            if event.is_cancelled:
                yield 0xFE00, None
                return
            yield 0xFF00, identifier(PatientID=f"X{i}")

    with running([(pynetdicom.evt.EVT_C_FIND, handle)], FIND) as port, connect(port, proposed(FIND)) as association:
        syntax = association.context_for(FIND).transfer_syntax
        query = encoded(identifier(QueryRetrieveLevel="STUDY", PatientID="X"), syntax)
        found = [decoded(r.data, syntax).PatientID for r in association.find(FIND, query) if r.data]
        assert found == [f"X{i}" for i in range(200)]
        for response in association.find(FIND, query):
            assert response.status == 0xFF00
            break
        assert association.open


def test_we_move_and_get_with_it(ct: Any) -> None:
    def get(event: Any) -> Iterator[Any]:
        yield 1
        yield 0xFF00, ct

    def move(event: Any) -> Iterator[Any]:
        yield None, None

    sinks: list[Recording] = []

    def receive(*_: object) -> Recording:
        sinks.append(Recording())
        return sinks[-1]

    handlers = [(pynetdicom.evt.EVT_C_GET, get), (pynetdicom.evt.EVT_C_MOVE, move)]
    with (
        running(handlers, GET, MOVE, CT) as port,
        connect(port, proposed(GET), proposed(MOVE), proposed(CT, scp=True)) as association,
    ):
        query = encoded(identifier(QueryRetrieveLevel="STUDY"), association.context_for(GET).transfer_syntax)
        progress = list(association.get(GET, query, receive))
        assert (progress[-1].status, progress[-1].completed) == (0, 1)
        assert ct.PixelData in sinks[0].data
        assert [p.status for p in association.move(MOVE, query, "NOWHERE")] == [0xA801]


def test_we_use_its_normalized_services() -> None:
    def create(event: Any) -> Any:
        return 0, event.attribute_list

    with (
        running([(pynetdicom.evt.EVT_N_CREATE, create)], MPPS) as port,
        connect(port, proposed(MPPS)) as association,
    ):
        syntax = association.context_for(MPPS).transfer_syntax
        response = association.n_create(MPPS, "1.2.3", encoded(identifier(PatientID="X"), syntax))
        assert response.status == 0
        assert response.data
        assert decoded(response.data, syntax).PatientID == "X"


def test_it_rejects_us() -> None:
    ae = pynetdicom.AE("PYNET")
    ae.require_called_aet = True
    ae.add_supported_context(VERIFICATION)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    try:
        with pytest.raises(dimse.RejectedPermanently) as rejection:
            dimse.connect(
                ("127.0.0.1", server.socket.getsockname()[1]),
                calling="US",
                called="OTHER",
                contexts=[proposed(VERIFICATION)],
                settings=QUICK,
            )
        assert (rejection.value.source, rejection.value.rejection) == (1, 7)
    finally:
        server.shutdown()
