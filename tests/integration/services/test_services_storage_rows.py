"""Storage, row by row: every storage class of the catalogue in every transfer syntax of its table, negotiated and
stored as SCP, proposed and sent as SCU, all byte for byte."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from archives import Destination, Object, Running, listening, made, running, study_uid
from databases import migrated
from isocenter.config import HostedAE
from isocenter.declarations import sop_classes
from isocenter.declarations.non_patient import MODELS
from isocenter.dicom import uids
from isocenter.dicom.dataset import Element, decode, encode, text, uid
from isocenter.dimse import ProposedContext
from isocenter.exchange.contexts import LIMIT
from storage_rows import OTHER_SERVICES, SOURCES, Pair, Table, is_storage_row, pairs, rows, storable, tables

AE = HostedAE(storage="declared")
PAIRS = sorted(pairs())
STORED = [pair for pair in PAIRS if storable(pair)]
_IDS = {
    "iconnect": ["I-STORE-11", "I-STORE-13", "I-STORE-30", "I-SEND-06", "I-CTX-01"]
    + [f"I-STORE-C-{n:02}" for n in range(1, 66)]
    + [f"I-STORE-TS-{n:02}" for n in range(1, 16)],
    "intellibridge": ["P-STO-01", "P-STO-02", "P-IMP-01", "P-EXP-01", "P-EXP-02"]
    + [f"P-STO-T62-{n:03}" for n in range(1, 158)],
    "marie": ["M-STORE-01", "M-STORE-13", "M-STORE-14", "M-DWSTORE-07", "M-SEND-04"],
    "sendtopacs": ["S-STORE-02", "S-STORE-03", "S-STORE-04"] + [f"S-STORE-TS-{n:02}" for n in range(1, 46)],
    "ps32": ["X-VIEW-04"],
}


class Kept(NamedTuple):
    """The archive that was sent one object of each pair, and what it sent on when asked for all of them."""

    archive: Running
    sent: dict[Pair, Object]
    statuses: dict[Pair, int]
    digests: dict[Pair, str]
    arrived: dict[Pair, str]
    offered: list[int]
    """How many contexts each association to the destination proposed."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """One object of each storable pair, stored over associations of 128 contexts, then moved in one C-MOVE."""
    folder = tmp_path_factory.mktemp("rows")
    destination = Destination()
    with (
        listening(destination),
        running(folder, migrated(folder), ae=AE, peers=[destination.peer], durable=False) as archive,
    ):
        sent = {pair: _object(number, pair) for number, pair in enumerate(STORED)}
        statuses: dict[Pair, int] = {}
        for group in _batches(STORED):
            responses = archive.store_all(*(sent[pair] for pair in group))
            statuses |= dict(zip(group, [response.status for response in responses], strict=True))
        studies = "\\".join(sorted({each.study for each in sent.values()}))
        identifier = {0x00080052: text("CS", "STUDY"), 0x0020000D: uid(studies)}
        *_, last = archive.move("DEST", identifier)
        assert (last.status, last.failed) == (0, 0)
        for model in MODELS:
            alone = [each.sop_uid for pair, each in sent.items() if pair[0] in model.classes]
            if alone:
                *_, last = archive.move("DEST", {0x00080018: uid(*alone)}, model=model.move)
                assert (last.status, last.completed) == (0, len(alone))
        held = [*archive.rows("instance"), *archive.rows("non_patient_instance")]
        digests = {(row.sop_class, row.syntax): row.digest for row in held}
        classes = {each.sop_uid: each.sop_class for each in sent.values()}
        arrived = {
            (classes[each.sop_uid], each.syntax): hashlib.sha256(each.data).hexdigest() for each in destination.received
        }
        offered = [len(request.contexts) for request in destination.requests]
        yield Kept(archive, sent, statuses, digests, arrived, offered)


def _batches(wanted: list[Pair]) -> Iterator[list[Pair]]:
    """As many as an association has contexts for."""
    return (wanted[at : at + LIMIT] for at in range(0, len(wanted), LIMIT))


def _object(number: int, pair: Pair) -> Object:
    """A minimal object; 200 make a study."""
    sop_class, syntax = pair
    return made(number, study=number // 200 + 1, sop_class=sop_class, syntax=syntax, pixels=bytes([number % 256, 1]))


def _of(source: str, role: str) -> list[Table]:
    return [table for table in tables() if table.source == source and table.role == role]


def _accepted(archive: Running, wanted: list[Pair]) -> set[Pair]:
    """What the AE accepts when each pair is a presentation context of its own, 128 an association."""
    found: set[Pair] = set()
    for group in _batches(wanted):
        contexts = [ProposedContext(sop_class, (syntax,)) for sop_class, syntax in group]
        with archive.connect(*contexts) as association:
            found |= {(c.abstract, c.transfer_syntax) for c in association.contexts.values()}
    return found


@pytest.mark.req(*(id_ for source in SOURCES for id_ in _IDS[source]))
@pytest.mark.parametrize("source", SOURCES)
def test_every_row_is_accepted_and_stored(kept: Kept, source: str) -> None:
    # what a source only sends, its peers must accept: the rows of both roles
    wanted = sorted(pairs(source))
    assert len(wanted) > 150
    assert _accepted(kept.archive, wanted) == set(wanted)
    for pair in filter(storable, wanted):
        assert kept.statuses[pair] == 0, pair
        assert kept.digests[pair] == kept.sent[pair].digest, pair


@pytest.mark.req("I-SEND-02", "I-SEND-03", "I-SEND-06", "M-SEND-04", "S-STORE-04", "P-STO-02", "P-EXP-02")
@pytest.mark.parametrize("source", SOURCES)
def test_every_row_is_proposed_and_sent(kept: Kept, source: str) -> None:
    for pair in filter(storable, pairs(source, "scu")):
        assert kept.arrived[pair] == kept.sent[pair].digest, pair
    assert max(kept.offered) <= LIMIT


@pytest.mark.req("I-CTX-01", "I-CTX-02", "I-STORE-11")
@pytest.mark.parametrize("table", [*_of("iconnect", "scp"), *_of("ps32", "scp")], ids=lambda table: table.name)
def test_all_syntaxes_of_a_class_in_one_context(kept: Kept, table: Table) -> None:
    by_class: dict[str, list[str]] = {}
    for sop_class, syntax in sorted(tables()[table], reverse=True):
        by_class.setdefault(sop_class, []).append(syntax)
    contexts = [ProposedContext(sop_class, tuple(syntaxes)) for sop_class, syntaxes in by_class.items()]
    with kept.archive.connect(*contexts) as association:
        chosen = {c.abstract: c.transfer_syntax for c in association.contexts.values()}
    # the acceptor's first whatever the proposer's order, which is reversed here
    explicit = {c: uids.EXPLICIT_LE if uids.EXPLICIT_LE in s else uids.IMPLICIT_LE for c, s in by_class.items()}
    assert chosen == explicit


@pytest.mark.req("M-STORE-14")
def test_a_class_that_is_only_negotiated_stores_nothing(kept: Kept) -> None:
    sop_class = next(uid for uid, _ in PAIRS if not sop_classes.is_storage(uid))
    before = len(kept.archive.objects())
    # 0122, SOP class not supported (PS3.7 C.5.6), and the association lives on for others
    assert kept.archive.status(made(sop_class=sop_class)) != 0
    assert len(kept.archive.objects()) == before


@pytest.mark.parametrize("source", SOURCES)
def test_every_other_row_belongs_to_another_service(source: str) -> None:
    known = sop_classes.registry()
    accounted = {uid for uid, _ in pairs(source)}
    for row in rows(f"{source}_sop_classes"):
        if is_storage_row(row) and row["uid"] not in accounted:
            # overviews and created objects name no syntaxes
            assert not row["scu"] or row["ae"] == "PRODUCT_OVERVIEW" or row["annex"], row
            assert row["uid"] in {uid for uid, _ in PAIRS}, row
        elif not is_storage_row(row):
            category = known[row["uid"]].category
            assert category in OTHER_SERVICES or row["service"] == "Media Storage", row


@pytest.mark.req("I-STORE-12", "M-STORE-01", "S-STORE-03")
def test_private_and_unknown_classes_by_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("private")
    private, unknown = "1.2.3.4.5.6", "1.2.3.4.5.7"
    own, every = HostedAE(storage="declared", classes=(private,)), HostedAE(title="ANY")
    with running(folder, migrated(folder), ae=own) as archive:
        assert _accepted(archive, [(private, uids.EXPLICIT_LE), (unknown, uids.EXPLICIT_LE)]) == {
            (private, uids.EXPLICIT_LE)
        }
        archive.send(made(sop_class=private))
    folder = tmp_path_factory.mktemp("any")
    with running(folder, migrated(folder), ae=every) as archive:
        archive.send(made(1, sop_class=private), made(2, sop_class=unknown))


@pytest.mark.req("I-STORE-03", "I-STORE-04", "I-STORE-12", "M-STORE-07", "M-PRIV-01", "M-PRIV-02", "X-VIEW-05")
@pytest.mark.parametrize("syntax", [uids.IMPLICIT_LE, uids.EXPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE])
def test_private_attributes_are_kept_and_sent_untouched(tmp_path_factory: pytest.TempPathFactory, syntax: str) -> None:
    """A standard-extended class: private groups of any creator, in sequences too, and bytes that nobody knows."""
    folder = tmp_path_factory.mktemp("extended")
    block = {
        0x6FDB0010: text("LO", "ORCZ"), 0x6FDB1001: Element("UN", b"\0\1\2\3"), 0x6FDB1002: text("UT", "mm"),
        0x6FDD0010: text("LO", "ORCZ Replica"), 0x6FDD1001: text("LO", "1.2\\3.4\\5\\6"),
        0x6FDD1003: Element("SQ", ({0x6FDD0010: text("LO", "ORCZ Replica"), 0x6FDD1004: Element("OB", b"ab")},)),
    }  # fmt: skip
    plain = made(syntax=uids.EXPLICIT_LE, pixels=b"")
    sent = plain._replace(syntax=syntax, data=encode(decode(plain.data, uids.EXPLICIT_LE) | block, syntax))
    destination = Destination()
    with listening(destination), running(folder, migrated(folder), peers=[destination.peer]) as archive:
        archive.send(sent)
        archive.move("DEST", {0x00080052: text("CS", "STUDY"), 0x0020000D: uid(study_uid())})
    assert [each.data for each in destination.received] == [sent.data]
