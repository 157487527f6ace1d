"""Both sides of ours against each other: every service, streaming, windows, cancelling, failures of services."""

import threading
from collections.abc import Callable, Iterator

import pytest

from integration.dimse.dimse_services import (
    CT,
    EXPLICIT,
    FIND,
    GET,
    IMPLICIT,
    MOVE,
    MPPS,
    MR,
    QUICK,
    VERIFICATION,
    Answering,
    Recording,
    Serving,
    Storing,
    serving,
)
from isocenter import dimse
from isocenter.dimse import (
    Association,
    AssociationAborted,
    BytesSource,
    Command,
    Context,
    ContextNotAccepted,
    Outgoing,
    ProposedContext,
    Settings,
    Slabs,
    SourceFailed,
    commands,
)
from isocenter.dimse.client import ClientAssociation
from isocenter.errors import Reason, Retriable


def connect(
    server: Serving, *abstracts: str, settings: Settings = QUICK, scp: bool = False, slabs: Slabs | None = None
) -> ClientAssociation:
    contexts = [
        ProposedContext(uid, (EXPLICIT, IMPLICIT), scp=scp and uid in (CT, MR)) for uid in abstracts or (VERIFICATION,)
    ]
    return dimse.connect(
        ("127.0.0.1", server.port), calling="SCU", called="SCP", contexts=contexts, settings=settings, slabs=slabs
    )


@pytest.mark.req("C-RULE-14")
def test_echo_and_release() -> None:
    with serving() as server:
        with connect(server) as association:
            assert association.echo() == 0
            assert association.echo() == 0
            assert (association.calling, association.called, association.open) == ("SCU", "SCP", True)
        assert not association.open


def pieces(n: int) -> Iterator[bytes]:
    for i in range(n):
        yield bytes([i & 255]) * 4096


@pytest.mark.parametrize("max_pdu", [128, 4096, 16384, 1 << 18, 0])
@pytest.mark.parametrize("length", [0, 1, 4096 * 3, 4096 * 700])
def test_a_data_set_arrives_as_it_left(length: int, max_pdu: int) -> None:
    if length > 1 << 20 and max_pdu == 128:
        length = 4096 * 20
    storing = Storing()
    with (
        serving({commands.C_STORE_RQ: storing}, settings=_with(max_pdu=max_pdu or 1 << 20)) as server,
        connect(server, CT) as association,
    ):
        data = b"".join(pieces(length // 4096)) or bytes(length)
        context = association.context_for(CT)
        assert association.store(context.id, CT, "1.2.3", BytesSource(data), originator=("MOVER", 5)) == 0
    ((context, command, stored),) = storing.stored
    assert stored == data
    assert context.transfer_syntax == EXPLICIT
    assert command[commands.AFFECTED_SOP_INSTANCE] == "1.2.3"
    assert (command[commands.MOVE_ORIGINATOR], command[commands.MOVE_ORIGINATOR_MESSAGE_ID]) == ("MOVER", 5)


def _with(**changes: object) -> Settings:
    from dataclasses import replace

    return replace(QUICK, **changes)  # type: ignore[arg-type]


def test_a_large_object_streams_and_slabs_come_back() -> None:
    storing, slabs = Storing(), Slabs()
    with serving({commands.C_STORE_RQ: storing}) as server:
        with connect(server, CT, slabs=slabs) as association:
            association.store(association.context_for(CT).id, CT, "1.2.3", BytesSource(pieces(4000)))
            assert slabs.lent == 0
        assert storing.sinks[0].largest <= 1 << 21
    assert len(storing.stored[0][2]) == 4000 * 4096
    assert server.acceptor._slabs.lent == 0


@pytest.mark.req("I-ASSOC-08")
@pytest.mark.parametrize("window", [1, 3, 0])
def test_several_stores_in_flight(window: int) -> None:
    """A peer that grants a window gets its requests before it has answered the first."""
    released = threading.Event()
    storing = Storing()
    inner = storing.perform

    def perform(association: Association, context: Context, command: Command, sink: dimse.Sink | None) -> None:
        released.wait(10)
        inner(association, context, command, sink)

    storing.perform = perform  # type: ignore[method-assign]
    with (
        serving({commands.C_STORE_RQ: storing}, settings=_with(window=(1, window))) as server,
        connect(server, CT, settings=_with(window=(window, 1))) as association,
    ):
        assert association.window == (window or 32)
        left: list[int] = []

        def items() -> Iterator[Outgoing]:
            context = association.context_for(CT)
            for i in range(6):
                left.append(i)
                if len(left) == association.window:
                    released.set()
                yield Outgoing(context.id, CT, f"1.2.{i}", BytesSource(bytes(50_000)), token=i)
            released.set()

        done = [(item.token, response.status) for item, response in association.store_many(items())]
    assert done == [(i, 0) for i in range(6)]
    assert len(storing.stored) == 6


class Unreadable:
    """A source that fails at once, or after a part."""

    def __init__(self, after: int) -> None:
        self.after = after

    def read_into(self, buffer: memoryview) -> tuple[int, bool]:
        if self.after <= 0:
            raise SourceFailed("gone")
        self.after -= 1
        return len(buffer), True


def test_an_unreadable_source_costs_one_item_before_it_began_and_the_association_after() -> None:
    storing = Storing()
    with serving({commands.C_STORE_RQ: storing}) as server:
        association = connect(server, CT)
        context = association.context_for(CT)
        items = [
            Outgoing(context.id, CT, "1.2.1", BytesSource(b"one"), token=1),
            Outgoing(context.id, CT, "1.2.2", Unreadable(0), token=2),
            Outgoing(context.id, CT, "1.2.3", BytesSource(b"two"), token=3),
        ]
        statuses = [(item.token, response.status) for item, response in association.store_many(items)]
        assert statuses == [(1, 0), (2, 0x0110), (3, 0)]
        with pytest.raises(AssociationAborted):
            association.store(context.id, CT, "1.2.4", Unreadable(1))
        association.abort()
        assert storing.sinks[-1].done.wait(10)
    assert [data for _, _, data in storing.stored] == [b"one", b"two"]
    assert storing.sinks[-1].abandoned


def finding(count: int, *, poll: bool = True) -> tuple[Answering, list[int]]:
    """C-FIND with `count` pending responses, in pages of 10; how many left."""
    left: list[int] = []

    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        message_id = commands.number(command, commands.MESSAGE_ID)
        pending = commands.response(command, commands.PENDING)
        for page in range(0, count, 10):
            if poll and association.cancelled(message_id):
                association.respond(context.id, commands.response(command, commands.CANCELLED))
                return
            rows = [(pending, b"row %06d" % i) for i in range(page, min(page + 10, count))]
            association.respond_many(context.id, rows)
            left.append(len(rows))
        association.respond(context.id, commands.response(command, commands.SUCCESS))

    return Answering(answer), left


@pytest.mark.parametrize("count", [0, 1, 25, 3000])
def test_find_gives_every_match_then_the_final_response(count: int) -> None:
    service, _ = finding(count)
    with serving({commands.C_FIND_RQ: service}) as server, connect(server, FIND) as association:
        responses = list(association.find(FIND, b"identifier"))
    assert [r.data for r in responses] == [*(b"row %06d" % i for i in range(count)), None]
    assert [r.status for r in responses] == [0xFF00] * count + [0]


def test_a_find_that_is_left_early_is_cancelled() -> None:
    service, left = finding(1_000_000)
    with serving({commands.C_FIND_RQ: service}) as server, connect(server, FIND) as association:
        for response in association.find(FIND, b"identifier"):
            if response.data == b"row 000020":
                break
        assert association.invoke(association.context_for(FIND).id, commands.echo_rq()).status == 0
    assert sum(left) < 1_000_000


def test_a_late_cancel_does_not_hit_the_next_use_of_its_message_id() -> None:
    service, _ = finding(20)
    with serving({commands.C_FIND_RQ: service}) as server, connect(server, FIND) as association:
        context = association.context_for(FIND).id
        assert len(list(association.find(FIND, b"x"))) == 21
        association.cancel(context, 2)
        assert len(list(association.find(FIND, b"x"))) == 21


def test_move_reports_progress() -> None:
    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        assert command[commands.MOVE_DESTINATION] == "DEST"
        counts = {"remaining": 1, "completed": 1, "failed": 0, "warning": 0}
        association.respond(context.id, commands.response(command, commands.PENDING, **counts))
        association.respond(
            context.id, commands.response(command, 0xB000, "one failed", completed=1, failed=1, warning=0), b"uids"
        )

    with serving({commands.C_MOVE_RQ: Answering(answer)}) as server, connect(server, MOVE) as association:
        first, last = association.move(MOVE, b"identifier", "DEST")
    assert (first.status, first.remaining, first.completed, first.failed) == (0xFF00, 1, 1, 0)
    assert (last.status, last.remaining, last.failed, last.comment, last.data) == (
        0xB000,
        None,
        1,
        "one failed",
        b"uids",
    )


def getting(count: int) -> Answering:
    """C-GET with `count` sub-operations of 300 kB."""

    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        target = association.context_for(CT)
        message_id, done = commands.number(command, commands.MESSAGE_ID), 0
        for i in range(count):
            if association.cancelled(message_id):
                association.respond(context.id, commands.response(command, commands.CANCELLED, completed=done))
                return
            status = association.store(target.id, CT, f"1.2.{i}", BytesSource(bytes([i]) * 300_000))
            done += status == 0
            pending = commands.response(command, commands.PENDING, remaining=count - i - 1, completed=done)
            association.respond(context.id, pending)
        association.respond(context.id, commands.response(command, commands.SUCCESS, completed=done))

    return Answering(answer)


def test_get_brings_the_objects_on_the_same_association() -> None:
    sinks: dict[str, Recording] = {}

    def receive(association: Association, context: Context, command: Command) -> Recording:
        return sinks.setdefault(commands.text(command, commands.AFFECTED_SOP_INSTANCE), Recording())

    with serving({commands.C_GET_RQ: getting(5)}) as server, connect(server, GET, CT, scp=True) as association:
        progress = list(association.get(GET, b"identifier", receive))
    assert [p.status for p in progress] == [0xFF00] * 5 + [0]
    assert progress[-1].completed == 5
    assert {uid: bytes(sink.data) for uid, sink in sinks.items()} == {
        f"1.2.{i}": bytes([i]) * 300_000 for i in range(5)
    }


def test_get_can_be_cancelled_and_a_sink_may_refuse() -> None:
    class Full(Recording):
        def close(self) -> None:
            raise Retriable(Reason.OUT_OF_STORAGE, "no space")

    with serving({commands.C_GET_RQ: getting(50)}) as server, connect(server, GET, CT, scp=True) as association:
        for seen, progress in enumerate(association.get(GET, b"identifier", lambda *_: Full())):
            assert progress.completed == 0
            if seen == 2:
                break
        assert association.open


def test_get_needs_the_role() -> None:
    with serving({commands.C_GET_RQ: getting(1)}) as server, connect(server, GET, CT) as association:
        (final,) = association.get(GET, b"identifier", lambda *_: Recording())
    assert (final.status, final.comment) == (0x0110, f"no context for {CT}")


@pytest.mark.parametrize(
    ("field", "call", "data"),
    [
        (commands.N_GET_RQ, lambda a: a.n_get(MPPS, "1.2.3", [0x00100010]), None),
        (commands.N_SET_RQ, lambda a: a.n_set(MPPS, "1.2.3", b"data"), b"data"),
        (commands.N_ACTION_RQ, lambda a: a.n_action(MPPS, "1.2.3", 4, b"data"), b"data"),
        (commands.N_CREATE_RQ, lambda a: a.n_create(MPPS, "1.2.3", b"data"), b"data"),
        (commands.N_DELETE_RQ, lambda a: a.n_delete(MPPS, "1.2.3"), None),
        (
            commands.N_EVENT_REPORT_RQ,
            lambda a: a.event_report(MPPS, "1.2.3", 2, b"data", context=a.context_for(MPPS)),
            b"data",
        ),
    ],
)
def test_normalized_services(
    field: int, call: Callable[[ClientAssociation], dimse.Response], data: bytes | None
) -> None:
    seen: list[tuple[Command, bytes | None]] = []

    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        seen.append((command, data))
        association.respond(context.id, commands.response(command, 0x0107, "attribute list"), b"answer")

    with serving({field: Answering(answer)}) as server, connect(server, MPPS) as association:
        response = call(association)
    assert (response.status, response.comment, response.data) == (0x0107, "attribute list", b"answer")
    assert response.command[commands.AFFECTED_SOP_INSTANCE] == "1.2.3"
    assert (seen[0][0][commands.COMMAND_FIELD], seen[0][1]) == (field, data)


def test_an_event_report_comes_back_on_the_same_association() -> None:
    reports: list[bytes | None] = []

    def act(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        association.respond(context.id, commands.response(command, 0))
        report = commands.event_report_rq(MPPS, "1.2.3", 1)
        assert association.invoke(context.id, report, b"result").status == 0

    def report(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        reports.append(data)
        association.respond(context.id, commands.response(command, 0))

    with (
        serving({commands.N_ACTION_RQ: Answering(act)}) as server,
        dimse.connect(
            ("127.0.0.1", server.port),
            calling="A",
            called="B",
            contexts=[ProposedContext(MPPS, (EXPLICIT,), scp=True)],
            settings=QUICK,
            services=lambda context, command: Answering(report),
        ) as association,
    ):
        assert association.n_action(MPPS, "1.2.3", 1, b"please").status == 0
        association.listen(10, until=lambda: bool(reports))
    assert reports == [b"result"]


def test_a_response_belongs_to_its_request() -> None:
    with serving() as server, connect(server, VERIFICATION) as association:
        with pytest.raises(ContextNotAccepted):
            association.context_for(CT)
        first = association.request(1, commands.echo_rq())
        second = association.request(1, commands.echo_rq())
        assert next(association.responses(second)).command[commands.MESSAGE_ID_RESPONDED] == second
        assert next(association.responses(first)).command[commands.MESSAGE_ID_RESPONDED] == first


class Failing:
    """A service that fails where it is told to."""

    def __init__(self, where: str, error: Exception) -> None:
        self.where, self.error = where, error
        self.recording = Recording()

    def _at(self, where: str) -> None:
        if where == self.where:
            raise self.error

    def sink(self, association: Association, context: Context, command: Command) -> "Failing":
        self._at("sink")
        return self

    def write(self, views: object) -> None:
        self._at("write")

    def close(self) -> None:
        self._at("close")

    def abandon(self) -> None:
        self.recording.abandon()

    def perform(self, association: Association, context: Context, command: Command, sink: object) -> None:
        self._at("perform")
        if self.where == "late":
            association.respond(context.id, commands.response(command, 0))
            raise self.error


@pytest.mark.parametrize("where", ["sink", "write", "close", "perform", "nothing"])
@pytest.mark.parametrize(
    ("error", "comment"),
    [(RuntimeError("Patient Name Doe^Jane"), "internal error"), (Retriable(Reason.OUT_OF_STORAGE, "full"), "full")],
)
def test_a_failing_service_answers_0110_and_the_association_lives(
    where: str, error: Exception, comment: str, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(where, error)
    with serving({commands.C_STORE_RQ: failing}) as server, connect(server, CT) as association:  # type: ignore[dict-item]
        context = association.context_for(CT)
        command = {**commands.store_rq(CT, "1.2.3")}
        response = association.invoke(context.id, command, bytes(500_000))
        assert response.status == 0x0110
        assert response.comment == (comment if where != "nothing" else "internal error")
        assert association.invoke(context.id, commands.echo_rq()).status == 0
    assert failing.recording.abandoned is (where in ("write", "close"))
    assert "Doe" not in caplog.text


def test_a_failure_after_the_response_adds_nothing() -> None:
    with (
        serving({commands.C_ECHO_RQ: Failing("late", RuntimeError())}) as server,
        connect(server) as association,
    ):
        assert association.echo() == 0
        assert association.echo() == 0


def test_what_nobody_performs_is_refused() -> None:
    with serving() as server, connect(server, CT, FIND) as association:
        context = association.context_for(CT).id
        assert association.store(context, CT, "1.2.3", BytesSource(bytes(300_000))) == 0x0122
        assert association.invoke(context, {commands.COMMAND_FIELD: 0x0044}, b"abcd").status == 0x0211
        assert association.invoke(context, commands.echo_rq()).status == 0


def test_a_buffered_data_set_has_a_limit() -> None:
    def answer(association: Association, context: Context, command: Command, data: bytes | None) -> None:
        association.respond(context.id, commands.response(command, 0))

    service = Answering(answer)
    service.limit = 1000
    with serving({commands.C_FIND_RQ: service}) as server, connect(server, FIND) as association:
        assert [r.status for r in association.find(FIND, bytes(1000))] == [0]
        (refused,) = association.find(FIND, bytes(1001))
        assert (refused.status, refused.comment) == (0x0110, "data set too long")


def test_requests_during_another_wait_for_their_turn() -> None:
    """Pipelined against the rules, or by a granted window: all are served, in order, with their data."""
    storing, order = Storing(), []
    service, _ = finding(500)

    with (
        serving({commands.C_FIND_RQ: service, commands.C_STORE_RQ: storing}) as server,
        connect(server, FIND, CT) as association,
    ):
        find = association.request(association.context_for(FIND).id, commands.find_rq(FIND), b"x")
        store = association.request(association.context_for(CT).id, commands.store_rq(CT, "1.2.3"), bytes(1_000_000))
        order = [r.status for r in association.responses(find)]
        assert next(association.responses(store)).status == 0
    assert order == [0xFF00] * 500 + [0]
    assert len(storing.stored[0][2]) == 1_000_000
