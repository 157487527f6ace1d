"""Notifications that others send: what is accepted, kept, answered and offered to whoever acts on them."""

import csv
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from archives import CT, Running, made, running, sop_uid, study_uid
from databases import migrated
from isocenter import dimse
from isocenter.config import HostedAE, Peer
from isocenter.config.loading import build
from isocenter.config.settings import Limits
from isocenter.database import changes
from isocenter.declarations.notification import Answer, is_told, study_content_answer
from isocenter.declarations.presets import Preset
from isocenter.declarations.transfer_syntaxes import NON_STORAGE
from isocenter.dicom import dataset, uids
from isocenter.dicom.dataset import DataSet, encode, sequence, text, uid
from isocenter.dimse import ProposedContext, commands
from isocenter.workflow.notices.received import Received, elsewhere, expected
from material import REQUIREMENTS
from notified_peers import AVAILABILITY, CONTENT, Work, settings_of

STUDY = "1.2.3.40"


def rows(name: str, **wanted: str) -> list[dict[str, str]]:
    with (REQUIREMENTS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(row[key] == value for key, value in wanted.items())]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("told")
    silent = Peer(title="SILENT", allow=("store", "find"))
    with running(folder, migrated(folder), peers=[silent]) as one:
        yield one


def available(study: str = STUDY, *instances: str, availability: str = "ONLINE", retrieve: str = "THERE") -> DataSet:
    items = (
        {
            0x00080054: text("AE", retrieve),
            0x00080056: text("CS", availability),
            0x00081150: uid(CT),
            0x00081155: uid(each),
        }
        for each in instances or ("1.2.3.41", "1.2.3.42")
    )
    series: DataSet = {0x00081199: sequence(*items), 0x0020000E: uid("1.2.3.50")}
    return {0x00081111: sequence(), 0x00081115: sequence(series), 0x0020000D: uid(study)}


def content(study: str = STUDY, sop: str = "1.2.3.60") -> DataSet:
    image: DataSet = {0x00081150: uid(CT), 0x00081155: uid("1.2.3.41")}
    series: DataSet = {
        0x00080054: text("AE", "THERE"),
        0x00081140: sequence(image),
        0x0020000E: uid("1.2.3.50"),
    }
    return {
        0x00080016: uid(CONTENT),
        0x00080018: uid(sop),
        0x00081115: sequence(series),
        0x00100010: text("PN", "Doe^Jane"),
        0x00100020: text("LO", "P1"),
        0x00200010: text("SH", "S1"),
        0x0020000D: uid(study),
    }


def create(
    archive: Running,
    data: DataSet | bytes | None,
    *,
    sop: str = "",
    syntax: str = uids.EXPLICIT_LE,
    calling: str = "OTHER",
) -> dimse.Response:
    sop = uids.new_uid() if sop == "" else sop
    with archive.connect(ProposedContext(AVAILABILITY, (syntax,)), calling=calling) as association:
        body = data if data is None or isinstance(data, bytes) else encode(data, syntax)
        return association.n_create(AVAILABILITY, "" if sop == "none" else sop, body)


def store(archive: Running, data: DataSet | bytes, *, sop: str = "", syntax: str = uids.EXPLICIT_LE) -> dimse.Response:
    sop = sop or uids.new_uid()
    with archive.connect(ProposedContext(CONTENT, (syntax,)), calling="OTHER") as association:
        body = data if isinstance(data, bytes) else encode(data, syntax)
        context = association.context_for(CONTENT)
        return association.invoke(context.id, commands.store_rq(CONTENT, sop), body)


# --- availability


@pytest.mark.req(
    "P-IAN-01", "P-IAN-02", "P-IAN-03", "P-IAN-07", "P-ARCH-08", "P-IAN-09",
    *(f"P-IAN-T83-{n:02}" for n in range(1, 10)),
)  # fmt: skip
@pytest.mark.parametrize("syntax", [row["uid"] for row in rows("intellibridge_transfer_syntaxes", ae="IAN")])
def test_availability_is_kept(archive: Running, syntax: str) -> None:
    study = uids.new_uid()
    answer = create(archive, available(study), sop="none", syntax=syntax)
    assert answer.status == 0
    sop = commands.text(answer.command, commands.AFFECTED_SOP_INSTANCE)
    assert sop, "without a UID in the request we make one"
    received = Received(archive.database)
    (kept,) = received.latest(study_uid=study)
    assert kept[1:-1] == ("availability", sop, study, "OTHER", "ISOCENTER", "127.0.0.1", 2)
    held = received.content(kept.id)
    for row in rows("intellibridge_attributes", ae="IAN"):
        holder: Any = held
        *above, last = (part.strip("()").replace(",", "") for part in row["tag"].split(">"))
        for step in above:
            (holder, *_) = holder[step]["Value"]
        assert last in holder, row["keyword"]
        if "FIXED" in row["usage"]:
            assert holder[last]["Value"] == ["ONLINE"]
    with archive.database.reading() as connection:
        told = elsewhere(connection, study)
        newest = changes.read(connection)[-1]
        assert {each: one.retrieve for each, one in told.items()} == {"1.2.3.41": "THERE", "1.2.3.42": "THERE"}
        assert expected(connection, study) == {"1.2.3.41", "1.2.3.42"}
    assert (newest.kind, newest.study_uid, newest.sop_uid) == ("notified", study, sop)


@pytest.mark.req("P-IAN-04")
def test_availability_in_other_syntaxes(archive: Running) -> None:
    context = ProposedContext(AVAILABILITY, (uids.RLE_LOSSLESS,))
    with pytest.raises(dimse.ContextNotAccepted), archive.connect(context) as association:
        association.context_for(AVAILABILITY)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({0x0020000D: None}, Answer.MISSING_ATTRIBUTE),
        ({0x0020000D: uid()}, Answer.MISSING_VALUE),
        ({0x0020000D: text("UI", "1.02.x")}, Answer.INVALID_VALUE),
        ({0x00081115: None}, Answer.MISSING_ATTRIBUTE),
        ({0x00081115: sequence()}, Answer.MISSING_VALUE),
        ({0x00081115: sequence({})}, Answer.MISSING_ATTRIBUTE),
    ],
)
def test_availability_that_is_wrong(archive: Running, change: dict[int, Any], status: Answer) -> None:
    study = uids.new_uid()
    made_of = {**available(study), **change}
    answer = create(archive, {tag: each for tag, each in sorted(made_of.items()) if each is not None})
    assert (answer.status, bool(answer.comment)) == (status, True)
    assert Received(archive.database).latest(study_uid=study) == []


@pytest.mark.parametrize(
    ("tag", "value", "status"),
    [
        (0x00080056, text("CS", "SOMEWHERE"), Answer.INVALID_VALUE),
        (0x00080056, text("CS", ""), Answer.MISSING_VALUE),
        (0x00080054, None, Answer.MISSING_ATTRIBUTE),
        (0x00081150, None, Answer.MISSING_ATTRIBUTE),
        (0x00081155, uid(), Answer.MISSING_VALUE),
    ],
)
def test_an_instance_that_is_named_wrongly(archive: Running, tag: int, value: Any, status: Answer) -> None:
    data = available()
    item = dataset.items_of(dataset.items_of(data, 0x00081115)[0], 0x00081199)[0]
    item.pop(tag)
    item.update({tag: value} if value is not None else {})
    assert create(archive, data).status == status


def test_what_can_not_be_read(archive: Running) -> None:
    assert create(archive, b"\x08\x00\x54\x00??\xff\xff\xff\xff").status == Answer.PROCESSING_FAILURE
    assert create(archive, None).status == Answer.MISSING_ATTRIBUTE
    assert create(archive, available(), sop="1.02.3").status == Answer.INVALID_INSTANCE
    assert store(archive, b"\x08\x00\x54\x00??\xff\xff\xff\xff").status == Answer.PROCESSING_FAILURE


def test_the_same_again_and_another_of_its_name(archive: Running) -> None:
    """Whose answer was lost sends again: that is success, and nothing new."""
    study, sop = uids.new_uid(), uids.new_uid()
    assert [create(archive, available(study), sop=sop).status for _ in range(2)] == [0, 0]
    assert create(archive, available(study, "1.2.3.43"), sop=sop).status == Answer.DUPLICATE_INSTANCE
    assert len(Received(archive.database).latest(study_uid=study)) == 1


def test_what_became_unavailable_is_not_waited_for(archive: Running) -> None:
    study = uids.new_uid()
    assert create(archive, available(study)).status == 0
    assert create(archive, available(study, "1.2.3.42", availability="UNAVAILABLE")).status == 0
    with archive.database.reading() as connection:
        assert expected(connection, study) == {"1.2.3.41"}


@pytest.mark.parametrize("abstract", [AVAILABILITY, CONTENT])
def test_a_peer_that_may_not_tell(archive: Running, abstract: str) -> None:
    context = ProposedContext(abstract, NON_STORAGE)
    with pytest.raises(dimse.ContextNotAccepted), archive.connect(context, calling="SILENT") as association:
        association.context_for(abstract)


def test_one_that_is_too_long(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, limits=Limits(identifier=2000)) as archive:
        many = available(STUDY, *(f"1.2.3.{n}" for n in range(1000, 1100)))
        assert create(archive, many).status == Answer.RESOURCE_LIMITATION
        assert store(archive, {**content(), 0x00104000: text("LT", "x" * 4000)}).status == 0xA700


# --- study content


@pytest.mark.req("I-BSCN-05", "I-CTX-05", "I-PREF-05")
@pytest.mark.parametrize(
    "syntax",
    [row["uid"] for row in rows("iconnect_transfer_syntaxes", ae="PREFETCHER") if "Content" in row["context"]],
)
def test_study_content_is_kept(archive: Running, syntax: str) -> None:
    study = uids.new_uid()
    assert store(archive, content(study), syntax=syntax).status == 0
    (kept,) = Received(archive.database).latest(study_uid=study)
    assert (kept.kind, kept.instances, kept.calling) == ("study-content", 1, "OTHER")
    with archive.database.reading() as connection:
        assert elsewhere(connection, study)["1.2.3.41"].retrieve == "THERE"


@pytest.mark.req("I-PREF-03")
@pytest.mark.parametrize(("preset", "status"), [("default", 0x0000), ("archive", 0x0003)])
def test_what_study_content_is_answered_with(tmp_path: Path, sqlite_url: str, preset: Preset, status: int) -> None:
    (row,) = rows("iconnect_status_codes", ae="PREFETCHER", service="BSCN")
    assert study_content_answer("archive", None) == int(row["code_hex_or_http"], 16)
    with running(tmp_path, sqlite_url, ae=HostedAE(preset=preset)) as archive:
        assert store(archive, content()).status == status
    assert study_content_answer(preset, 2) == 2, "as configured"
    assert is_told("study-content", status)


def test_study_content_that_is_wrong(archive: Running) -> None:
    without = content()
    del without[0x0020000D]
    assert store(archive, without).status == Answer.CANNOT_UNDERSTAND
    sop = uids.new_uid()
    assert store(archive, content(), sop=sop).status == 0
    assert store(archive, content("1.2.3.99"), sop=sop).status == Answer.DUPLICATE_INSTANCE


# --- what the sources list


LISTED = [
    pytest.param(row, id=f"{name}-{number}")
    for name in ("iconnect", "intellibridge", "marie")
    for number, row in enumerate(rows(f"{name}_sop_classes"), 2)
    if row["uid"] in (CONTENT, AVAILABILITY) and row["scp"] == "yes"
]


@pytest.mark.parametrize("row", LISTED)
def test_every_class_that_a_source_takes_is_taken(archive: Running, row: dict[str, str]) -> None:
    with archive.connect(ProposedContext(row["uid"], NON_STORAGE)) as association:
        context = association.context_for(row["uid"])
        assert (context.as_scu, context.transfer_syntax) == (True, uids.EXPLICIT_LE)


@pytest.mark.req("P-IAN-05")
def test_as_many_at_once_as_the_source_takes(archive: Running) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            association = stack.enter_context(archive.connect(ProposedContext(AVAILABILITY, NON_STORAGE)))
            body = encode(available(uids.new_uid()), uids.EXPLICIT_LE)
            assert association.n_create(AVAILABILITY, uids.new_uid(), body).status == 0


@pytest.mark.req("P-IAN-08", "P-ARCH-05")
def test_the_ae_of_the_source(tmp_path: Path, sqlite_url: str) -> None:
    """The preset `bridge` under the source's title: one AE takes availability, steps and worklist queries."""
    (ae,) = build({"ae": [{"title": "SCP1", "preset": "bridge"}]}).aes
    with running(tmp_path, sqlite_url, ae=ae, peers=[Peer(title="OTHER")]) as archive:
        assert create(archive, available()).status == 0
        others = (uids.MODALITY_PERFORMED_PROCEDURE_STEP, uids.MODALITY_WORKLIST_FIND)
        with archive.connect(*(ProposedContext(uid, NON_STORAGE) for uid in others), calling="OTHER") as association:
            assert {each.abstract for each in association.contexts.values()} == set(others)


# --- what is made of it


def test_a_study_is_complete_once_all_that_others_named_is_here(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        work = Work(archive, settings_of(archive, completeness={"always": True, "counts": True}))
        assert create(archive, available(study_uid(), sop_uid(1), sop_uid(2))).status == 0
        archive.send(made(1))
        work.later(100).follow()
        assert "complete" not in kinds(archive)
        archive.send(made(2))
        work.follow().later(5).follow()
        assert kinds(archive).count("complete") == 1


def kinds(archive: Running) -> list[str]:
    with archive.database.reading() as connection:
        return [each.kind for each in changes.read(connection)]
