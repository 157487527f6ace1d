"""A row of C-STOREs: the peer is kept at work, and every answer that came is told."""

import threading
from collections.abc import Iterator

import pytest

from integration.dimse.dimse_services import CT, EXPLICIT, QUICK, Serving, Storing, serving
from isocenter import dimse
from isocenter.dimse import (
    Association,
    AssociationAborted,
    BytesSource,
    ClientAssociation,
    Command,
    Context,
    Outgoing,
    ProposedContext,
    commands,
)


class Counting(Storing):
    """Knows how many objects are there, and answers one of them with an A-ABORT."""

    def __init__(self, fatal: int = 0) -> None:
        super().__init__()
        self.arrived = threading.Semaphore(0)
        self._fatal = fatal

    def perform(self, association: Association, context: Context, command: Command, sink: dimse.Sink | None) -> None:
        self.arrived.release()
        if len(self.stored) + 1 == self._fatal:
            association.abort()
        else:
            super().perform(association, context, command, sink)


def connect(server: Serving) -> ClientAssociation:
    contexts = [ProposedContext(CT, (EXPLICIT,))]
    return dimse.connect(("127.0.0.1", server.port), calling="SCU", called="SCP", contexts=contexts, settings=QUICK)


def objects(association: Association, count: int) -> Iterator[Outgoing]:
    context = association.context_for(CT)
    return (Outgoing(context.id, CT, f"1.2.{n}", BytesSource(bytes(3 << 20)), token=n) for n in range(count))


def collect(told: list[object], association: Association, items: Iterator[Outgoing]) -> None:
    """The tokens of what is answered, in `told` even where an error ends it."""
    told.extend(item.token for item, _ in association.store_many(items))


def test_the_next_object_is_under_way_when_a_response_is_told() -> None:
    storing = Counting()
    with serving({commands.C_STORE_RQ: storing}) as server, connect(server) as association:
        told = association.store_many(objects(association, 4))
        for n in range(4):
            item, response = next(told)
            assert (item.token, response.status) == (n, 0)
            # this one and the next, if there is a next
            for _ in range({0: 2, 3: 0}.get(n, 1)):
                assert storing.arrived.acquire(timeout=30)
        assert next(told, None) is None
    assert [command[commands.AFFECTED_SOP_INSTANCE] for _, command, _ in storing.stored] == [
        f"1.2.{n}" for n in range(4)
    ]
    assert {len(data) for _, _, data in storing.stored} == {3 << 20}


@pytest.mark.parametrize("most", [0, 1, 3])
def test_what_is_not_wanted_any_more_stays(most: int) -> None:
    storing, left = Counting(), iter(range(10))
    with serving({commands.C_STORE_RQ: storing}) as server, connect(server) as association:
        told = association.store_many(objects(association, 10), wanted=lambda: next(left) < most)
        assert [(item.token, response.status) for item, response in told] == [(n, 0) for n in range(most)]
        # nobody waits for an answer to the one that stayed, and the association goes on
        assert not association.awaits(most + 1)
        assert len(list(association.store_many(objects(association, 2)))) == 2
    assert len(storing.stored) == most + 2


def test_answers_that_came_are_told_where_the_peer_aborts() -> None:
    storing = Counting(fatal=3)
    with serving({commands.C_STORE_RQ: storing}) as server:
        association = connect(server)
        told: list[object] = []
        with pytest.raises(AssociationAborted):
            collect(told, association, objects(association, 10))
        association.abort()
    assert told == [0, 1]


def test_answers_are_awaited_where_the_supply_fails() -> None:
    def supply(association: Association) -> Iterator[Outgoing]:
        yield from objects(association, 2)
        raise LookupError("no more")

    storing = Counting()
    with serving({commands.C_STORE_RQ: storing}) as server, connect(server) as association:
        told: list[object] = []
        with pytest.raises(LookupError):
            collect(told, association, supply(association))
    assert told == [0, 1]
