"""Instances that belong to no patient over DIMSE: stored, asked for by their information models, moved and got."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from archives import Destination, Object, Running, listening, made, running
from databases import migrated
from isocenter import dimse
from isocenter.config import HostedAE
from isocenter.declarations.non_patient import MODEL_OF, MODELS, Model
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, encode, string_of, text, uid
from isocenter.dimse import ProposedContext
from isocenter.index import tables
from non_patient_objects import HANGING, IMPLANT, hanging, implant, palette, plain, sequence, uid_of

_FIND = MODEL_OF[HANGING].find
_NAME, _SOP_UID = 0x00720002, 0x00080018


@pytest.fixture(scope="module")
def destination() -> Iterator[Destination]:
    made_here = Destination()
    with listening(made_here):
        yield made_here


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, destination: Destination) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("non-patient")
    with running(folder, migrated(folder), peers=[destination.peer], durable=False) as archive:
        archive.send(
            hanging(1, name="CHEST", definitions=(("CR", "51185008"), ("DX", "816094009"))),
            hanging(2, name="Brust MRT", level="USER_GROUP", definitions=(("MR", "76752008"),), screens=3),
            hanging(3, name="Schädel", definitions=(("CT", "69536005"),)),
            palette(7),
            implant(7, part="S-7"),
        )
        yield archive


def _asked(archive: Running, model: str = _FIND, **values: str) -> list[str]:
    from isocenter.dicom.dictionary import tag_of, vr_of

    keys: DataSet = {_SOP_UID: uid("")}
    for keyword, value in values.items():
        tag = tag_of(keyword)
        assert tag is not None
        keys[tag] = uid(value) if vr_of(tag) == "UI" else text(vr_of(tag), value)
    return _uids(archive.find(keys, model=model))


def _uids(answers: list[tuple[int, DataSet]]) -> list[str]:
    assert answers[-1][0] == 0
    return [string_of(found, _SOP_UID) for status, found in answers if status in (0xFF00, 0xFF01)]


def _numbers(*numbers: int, sop_class: str = HANGING) -> list[str]:
    return [uid_of(number, sop_class) for number in numbers]


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ({}, (1, 2, 3)),
        ({"HangingProtocolName": "CHEST"}, (1,)),
        ({"HangingProtocolName": "*MRT"}, (2,)),
        ({"HangingProtocolLevel": "USER_GROUP"}, (2,)),
        ({"HangingProtocolLevel": "user_group"}, ()),
        ({"HangingProtocolDescription": "chest with*"}, (1,)),
        ({"HangingProtocolCreationDateTime": "20240115-20240215"}, (2,)),
        ({"SOPInstanceUID": f"{uid_of(1)}\\{uid_of(3)}"}, (1, 3)),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.39.1"}, ()),
    ],
)
def test_keys_are_matched(archive: Running, values: dict[str, str], numbers: tuple[int, ...]) -> None:
    assert _asked(archive, **values) == _numbers(*numbers)


@pytest.mark.parametrize(
    ("modality", "region", "numbers"),
    [
        ("CR", "51185008", (1,)),
        ("CR", "", (1,)),
        ("DX", "51185008", ()),
        ("MR", "76752008", (2,)),
        ("", "69536005", (3,)),
    ],
)
def test_keys_of_a_sequence_hold_in_one_item(
    archive: Running, modality: str, region: str, numbers: tuple[int, ...]
) -> None:
    item: DataSet = {0x00080060: text("CS", modality), 0x00082218: sequence({0x00080100: text("SH", region)})}
    answers = archive.find({_SOP_UID: uid(""), 0x0072000C: sequence(item)}, model=_FIND)
    assert _uids(answers) == _numbers(*numbers)
    for _, found in answers[:-1]:
        definitions = found[0x0072000C].value
        assert isinstance(definitions, tuple)
        (first, *_) = definitions
        # of the item what was asked for, and no more
        assert set(first) == {0x00080060, 0x00082218}


def test_answers_hold_what_was_asked_for_in_the_askers_character_set(archive: Running) -> None:
    keys = {0x00080005: text("CS", "ISO_IR 100"), _NAME: text("SH", "Schädel", ("ISO_IR 100",)),
            0x00720100: text("US", ""), 0x00720102: sequence(), 0x00100010: text("PN", "")}  # fmt: skip
    (status, found), (last, _) = archive.find(keys, model=_FIND)
    # Patient's Name is no key of the model
    assert (status, last) == (0xFF01, 0)
    assert found[0x00080005].value == b"ISO_IR 100"
    assert found[_NAME].value == "Schädel ".encode("latin-1")[: len(found[_NAME].value)]
    assert found[0x00720100].value == b"\x02\x00"
    assert set(found) == {0x00080005, 0x00080016, _SOP_UID, _NAME, 0x00720100, 0x00720102, 0x00100010}
    # neither Query/Retrieve Level nor Retrieve AE Title: the models have no levels
    screens = found[0x00720102].value
    assert isinstance(screens, tuple)
    (screen,) = screens
    assert set(screen) == {0x00720104, 0x00720106}


def test_models_do_not_mix(archive: Running) -> None:
    assert _asked(archive, MODEL_OF[IMPLANT].find, ImplantPartNumber="S-7") == _numbers(7, sop_class=IMPLANT)
    assert _asked(archive, MODEL_OF[IMPLANT].find, SOPInstanceUID=uid_of(1)) == []
    assert _asked(archive, uids.STUDY_ROOT_FIND, QueryRetrieveLevel="STUDY") == []


@pytest.mark.parametrize(
    "keys",
    [{}, {_SOP_UID: uid("")}, {_SOP_UID: uid("*")}, {_NAME: text("SH", "CHEST")}],
    ids=["empty", "no value", "wildcard", "another key"],
)
def test_a_retrieval_names_instances(archive: Running, keys: DataSet) -> None:
    (only,) = archive.move("DEST", keys, model=MODEL_OF[HANGING].move)
    assert only.status == 0xA900


def test_a_retrieval_of_what_is_not_there_moves_nothing(archive: Running) -> None:
    (only,) = archive.move("DEST", {_SOP_UID: uid("1.2.3")}, model=MODEL_OF[HANGING].move)
    assert (only.status, only.completed) == (0, 0)


def test_dates_that_are_none_are_refused(archive: Running) -> None:
    answers = archive.find({0x0072000A: text("DT", "yesterday")}, model=_FIND)
    assert [status for status, _ in answers] == [0xA900]


@pytest.mark.parametrize("sop_class", sorted(MODEL_OF))
def test_every_class_is_stored_found_moved_and_got(archive: Running, destination: Destination, sop_class: str) -> None:
    sent, model = plain(sop_class, 50), MODEL_OF[sop_class]
    archive.send(sent)
    assert _asked(archive, model.find, SOPInstanceUID=sent.sop_uid) == [sent.sop_uid]
    before = len(destination.received)
    *_, last = archive.move("DEST", {_SOP_UID: uid(sent.sop_uid)}, model=model.move)
    assert (last.status, last.completed) == (0, 1)
    assert [each.data for each in destination.received[before:]] == [sent.data]
    assert _got(archive, model, sent) == [sent.data]


def _got(archive: Running, model: Model, wanted: Object) -> list[bytes]:
    sinks: list[dimse.BufferSink] = []

    def receive(*_: object) -> dimse.Sink:
        sinks.append(_Kept(1 << 20))
        return sinks[-1]

    storing = ProposedContext(wanted.sop_class, (wanted.syntax,), scu=False, scp=True)
    with archive.connect(ProposedContext(model.get, (uids.EXPLICIT_LE,)), storing) as association:
        identifier = encode({_SOP_UID: uid(wanted.sop_uid)}, uids.EXPLICIT_LE)
        *_, last = association.get(model.get, identifier, receive)
    assert (last.status, last.completed) == (0, 1)
    return [sink.value() for sink in sinks]


class _Kept(dimse.BufferSink):
    def close(self) -> None:
        """What came is looked at afterwards."""


def test_neither_studies_nor_series_come_of_them(archive: Running) -> None:
    assert archive.rows("study") == archive.rows("series") == archive.rows("instance") == []
    with archive.database.reading() as connection:
        changed = connection.execute(select(tables.change.c.kind, tables.change.c.study_uid)).all()
    assert set(changed) == {("stored", "")}


def test_objects_of_patients_still_need_a_study(archive: Running) -> None:
    assert archive.status(made(without=(0x0020000D,))) != 0


def test_a_peer_that_may_not_query_is_refused_these_models_too(tmp_path: Path) -> None:
    ae = HostedAE(services=("store",))
    with running(tmp_path, migrated(tmp_path), ae=ae) as closed:
        with closed.connect(*(ProposedContext(model.find, (uids.EXPLICIT_LE,)) for model in MODELS)) as association:
            assert not association.contexts
        closed.send(hanging())
