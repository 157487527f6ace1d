"""The unified worklist over DIMSE against whatever a peer may send: an error in the protocol's own terms, and the
association goes on."""

import random
from collections.abc import Iterator

import pytest

from archives import Running, running
from databases import migrated
from isocenter import dimse
from isocenter.config import HostedAE, Limits
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.declarations.workitem import EVENT, FILTERED, GLOBAL, PULL, PUSH, QUERY, WATCH
from isocenter.dicom import uids
from isocenter.dicom.uids import new_uid
from isocenter.dimse import ProposedContext, commands
from isocenter.workflow.workitems import models
from workitem_models import asked

CLASSES = (PUSH, PULL, WATCH, QUERY)
CONTEXTS = [ProposedContext(uid, (uids.EXPLICIT_LE,)) for uid in CLASSES]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("workitems-dimse")
    limits = Limits(identifier=1 << 16)
    with running(folder, migrated(folder), limits=limits, durable=False) as found:
        yield found


def _requests(uid: str) -> list[tuple[str, dimse.Command]]:
    """One of each operation, with its class."""
    return [
        (PUSH, commands.n_create_rq(PUSH, new_uid())),
        (PULL, commands.n_set_rq(PUSH, uid)),
        (PULL, commands.n_action_rq(PUSH, uid, 1)),
        (PUSH, commands.n_action_rq(PUSH, uid, 2)),
        (WATCH, commands.n_action_rq(PUSH, uid, 3)),
        (WATCH, commands.n_action_rq(PUSH, FILTERED, 3)),
        (WATCH, commands.n_action_rq(PUSH, GLOBAL, 4)),
        (WATCH, commands.n_action_rq(PUSH, GLOBAL, 5)),
        (QUERY, commands.find_rq(QUERY)),
    ]


def _mutated(data: bytes, chance: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        if not broken:
            break
        place = chance.randrange(len(broken))
        match chance.randrange(3):
            case 0:
                broken[place] = chance.randrange(256)
            case 1:
                del broken[place : place + chance.randint(1, 9)]
            case _:
                broken[place:place] = chance.randbytes(chance.randint(1, 9))
    return bytes(broken)


def test_no_data_set_breaks_the_association(archive: Running) -> None:
    chance = random.Random(20261121)
    whole = models.encoded(models.canonical(asked()), uids.EXPLICIT_LE)
    uid = new_uid()
    with archive.connect(*CONTEXTS) as association:
        created = association.context_for(PUSH)
        assert association.invoke(created.id, commands.n_create_rq(PUSH, uid), whole).status == 0
        for turn in range(60):
            data: bytes | None = _mutated(whole, chance) if turn else None
            for abstract, command in _requests(uid):
                context = association.context_for(abstract)
                *_, last = association.responses(association.request(context.id, command, data))
                assert last.status in _KNOWN, f"{last.status:04X}"
        got = association.invoke(association.context_for(PULL).id, commands.n_get_rq(PUSH, uid))
        assert got.status == 0
        assert got.data


_KNOWN = {
    *(0x0000, 0x0106, 0x0110, 0x0111, 0x0115, 0x0120, 0x0121, 0xA700, 0xA900, 0xC000, 0xC001),
    *(0xB304, 0xC300, 0xC301, 0xC303, 0xC308, 0xC309, 0xC310, 0xC312),
}


def test_a_creator_without_a_uid_is_told_which_it_was_given(archive: Running) -> None:
    whole = models.encoded(models.canonical(asked()), uids.IMPLICIT_LE)
    with archive.connect(ProposedContext(PUSH, (uids.IMPLICIT_LE,))) as association:
        context = association.context_for(PUSH)
        answer = association.invoke(context.id, commands.n_create_rq(PUSH), whole)
        assert answer.status == 0
        given = commands.text(answer.command, commands.AFFECTED_SOP_INSTANCE)
        assert association.invoke(context.id, commands.n_get_rq(PUSH, given)).status == 0


def test_a_data_set_that_is_too_long(archive: Running) -> None:
    with archive.connect(*CONTEXTS) as association:
        context = association.context_for(PUSH)
        answer = association.invoke(context.id, commands.n_create_rq(PUSH, new_uid()), bytes(1 << 17))
        assert answer.status == 0x0213
        *_, last = association.responses(association.request(context.id, commands.n_get_rq(PUSH, "2.25.404")))
        assert last.status == 0xC307


def test_what_an_ae_without_the_service_offers(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("none")
    ae = HostedAE(services=("store", "find"))
    verification = ProposedContext(uids.VERIFICATION, NON_STORAGE)
    with running(folder, migrated(folder), ae=ae) as archive, archive.connect(verification, *CONTEXTS) as association:
        assert [each.abstract for each in association.contexts.values()] == [uids.VERIFICATION]


def test_event_reports_are_not_taken(archive: Running) -> None:
    with archive.connect(*CONTEXTS, ProposedContext(EVENT, NON_STORAGE)) as association:
        assert EVENT not in {each.abstract for each in association.contexts.values()}
