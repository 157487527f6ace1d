"""What is laid over objects as they leave: rules on sending, and the index's current values."""

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import update

import material
from archives import CT, Destination, Object, Running, keys, listening, made, running, sop_uid, study_uid
from isocenter.config import HostedAE, Peer, build
from isocenter.config.coercion import Hooks, Rule
from isocenter.declarations.merging import MERGED, Extent
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode, items_of, string_of, text
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.dimse import Association, BufferSink, Command, Context, ProposedContext
from isocenter.index import tables
from isocenter.rules import View

ORIGINALS, NAME, PATIENT_ID, COMMENTS = 0x04000561, 0x00100010, 0x00100020, 0x00104000
HIDDEN = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
NATIVE = (uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.DEFLATED_LE, uids.EXPLICIT_BE)


def rules(*given: Mapping[str, Any]) -> Sequence[Rule]:
    return build({"rule": [{"when": "send", **rule} for rule in given]}).rules


def moved(
    archive: Running, destination: Destination, level: str = "STUDY", study: int = 1, **more: str
) -> list[tuple[str, DataSet]]:
    """What a C-MOVE of a study brings: the command's SOP Instance UID and the elements before the pixel data."""
    before = len(destination.received)
    progress = archive.move(destination.title, keys(level, StudyInstanceUID=study_uid(study), **more))
    assert progress[-1].status in (0, 0xB000, 0xA702)
    return [(each.sop_uid, header(each.data, each.syntax)) for each in destination.received[before:]]


def header(data: bytes, syntax: str) -> DataSet:
    """Its elements without the pixel data."""
    mark = b"\xe0\x7f\x10\x00" if syntax != uids.EXPLICIT_BE else b"\x7f\xe0\x00\x10"
    return decode(data if syntax == uids.DEFLATED_LE else data.partition(mark)[0], syntax)


def preferring(destination: Destination, syntax: str) -> Peer:
    return replace(destination.peer, syntaxes=(syntax,))


# --- rules on sending


@pytest.mark.req("M-SEND-07")
@pytest.mark.parametrize("wanted", NATIVE, ids=uids.keyword_of)
@pytest.mark.parametrize("stored", NATIVE, ids=uids.keyword_of)
def test_rules_apply_in_any_transfer_syntax(sqlite_url: str, tmp_path: Any, stored: str, wanted: str) -> None:
    rule = {"called": ["DEST"], "do": [{"set": "PatientComments", "value": "sent"}]}
    destination = Destination(syntaxes=(wanted,))
    with (
        listening(destination),
        running(tmp_path, sqlite_url, peers=[preferring(destination, wanted)], rules=rules(rule)) as archive,
    ):
        sent = made(syntax=stored, pixels=bytes(range(256)) * 512)
        archive.send(sent)
        ((instance, found),) = moved(archive, destination)
        assert destination.received[0].syntax == wanted
        assert instance == sop_uid()
        assert string_of(found, COMMENTS) == "sent"
        (item,) = items_of(found, ORIGINALS)
        assert items_of(item, 0x04000550)[0].keys() == {COMMENTS}
        before = header(sent.data, stored)
        assert {tag: e for tag, e in found.items() if tag not in (COMMENTS, ORIGINALS, 0x7FE00010)} == {
            tag: e for tag, e in before.items() if tag != 0x7FE00010
        }
        assert len(destination.received[0].data) > 1000
        # the object itself is as it was
        assert archive.data_of(archive.rows("instance")[0].store_key) == sent.data


def test_only_the_destination_of_a_rule_sees_it(sqlite_url: str, tmp_path: Any) -> None:
    named = {"called": ["DEST"], "do": [{"set": "PatientID", "value": "to-dest"}]}
    by_address = {"addresses": ["10.0.0.0/8"], "do": [{"set": "PatientID", "value": "far"}]}
    by_peer = {"peers": ["OTH*"], "modalities": ["MR"], "do": [{"set": "PatientID", "value": "mr"}]}
    first, second = Destination(), Destination(title="OTHER")
    peers = [first.peer, second.peer]
    with listening(first, second):
        peers = [first.peer, second.peer]
        with running(tmp_path, sqlite_url, peers=peers, rules=rules(named, by_address, by_peer)) as archive:
            archive.send(made(), made(2, Modality="MR"))
            assert [string_of(found, PATIENT_ID) for _, found in moved(archive, first)] == ["to-dest"] * 2
            found = sorted((uid, string_of(found, PATIENT_ID)) for uid, found in moved(archive, second))
            assert found == [(sop_uid(1), "P1"), (sop_uid(2), "mr")]
            assert second.received[[r.sop_uid for r in second.received].index(sop_uid(1))].data == made().data


def test_hidden_identities_are_hidden_in_the_command_too(sqlite_url: str, tmp_path: Any) -> None:
    hide = [{"hash": name, "key": "k"} for name in HIDDEN]
    destination = Destination()
    with (
        listening(destination),
        running(
            tmp_path, sqlite_url, peers=[destination.peer], rules=rules({"do": [*hide, {"delete": "PatientName"}]})
        ) as archive,
    ):
        archive.send(made())
        ((instance, found),) = moved(archive, destination)
        assert instance == string_of(found, 0x00080018) != sop_uid()
        assert NAME not in found
        assert ORIGINALS not in found
        assert b"Doe" not in destination.received[0].data
        assert study_uid().encode() not in destination.received[0].data


def test_c_get_is_a_way_out_too(sqlite_url: str, tmp_path: Any) -> None:
    rule = {"called": ["TESTER"], "addresses": ["127.0.0.1"], "do": [{"set": "PatientID", "value": "got"}]}
    with running(tmp_path, sqlite_url, rules=rules(rule)) as archive:
        archive.send(made())
        got: list[BufferSink] = []

        def sink(_association: Association, _context: Context, _command: Command) -> BufferSink:
            got.append(BufferSink(1 << 20))
            return got[-1]

        asking = ProposedContext(uids.STUDY_ROOT_GET, (uids.EXPLICIT_LE,))
        with archive.connect(asking, ProposedContext(CT, (uids.EXPLICIT_LE,), scu=False, scp=True)) as association:
            identifier = encode(keys("STUDY", StudyInstanceUID=study_uid()), uids.EXPLICIT_LE)
            assert list(association.get(uids.STUDY_ROOT_GET, identifier, sink))[-1].status == 0
        assert string_of(header(got[0].value(), uids.EXPLICIT_LE), PATIENT_ID) == "got"


def test_a_rule_that_cannot_be_applied_fails_the_object_alone(sqlite_url: str, tmp_path: Any) -> None:
    rule = {"where": [{"attribute": "PatientID", "equals": "P1"}], "do": [{"copy": "Rows", "from": "PatientName"}]}
    destination = Destination()
    with listening(destination), running(tmp_path, sqlite_url, peers=[destination.peer], rules=rules(rule)) as archive:
        archive.send(made(1), made(2, study=1, PatientID="P2"))
        progress = archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))
        assert progress[-1].status == 0xB000
        assert (progress[-1].completed, progress[-1].failed) == (1, 1)


def mark(view: View) -> None:
    """A hook on sending."""
    view["PatientComments"] = view.facts["called"]


def test_a_hook_on_sending(sqlite_url: str, tmp_path: Any) -> None:
    destination = Destination()
    hooks = Hooks(send=f"{__name__}:mark")
    with listening(destination), running(tmp_path, sqlite_url, peers=[destination.peer], hooks=hooks) as archive:
        archive.send(made())
        ((_, found),) = moved(archive, destination)
        assert string_of(found, COMMENTS) == "DEST"
        assert ORIGINALS not in found


# --- current values


def table(ae: str) -> list[tuple[str, int]]:
    """The update table of an AE: keyword and tag of each row."""
    with (material.REQUIREMENTS / "marie_attributes.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["ae"] == ae and "outbound coercion" in row["service"]]
    return [(row["keyword"], int(row["tag"][1:5] + row["tag"][6:10], 16)) for row in rows]


TABLES: dict[Extent, list[tuple[str, int]]] = {"full": table("MARIE_PACS"), "reduced": table("DW")}
COLUMNS = {
    "StudyDate": ("study", "study_date"), "StudyTime": ("study", "study_time"), "StudyID": ("study", "study_id"),
    "AccessionNumber": ("study", "accession"), "ReferringPhysicianName": ("study", "referring_name"),
    "StudyDescription": ("study", "description"), "SeriesDate": ("series", "series_date"),
    "SeriesTime": ("series", "series_time"), "SeriesDescription": ("series", "description"),
    "PerformingPhysicianName": ("series", "performing_name"), "PatientName": ("patient", "patient_name"),
    "PatientID": ("patient", "patient_id"), "IssuerOfPatientID": ("patient", "issuer"),
    "PatientBirthDate": ("patient", "birth_date"), "PatientBirthTime": ("patient", "birth_time"),
    "PatientSex": ("patient", "sex"),
}  # fmt: skip
OLD = {"DA": "20010101", "TM": "010101", "DS": "1", "AS": "001Y", "CS": "M"}
NEW = {"DA": "20020202", "TM": "020202", "DS": "2", "AS": "002Y", "CS": "F"}


def value(vr: str, when: dict[str, str]) -> str:
    return when.get(vr, "old" if when is OLD else "new")


def stored_with_old_values() -> Object:
    plain = made(pixels=b"")
    found = decode(plain.data, plain.syntax)
    for keyword, tag in TABLES["full"]:
        vr = vr_of(tag)
        if vr == "SQ":
            inner = 0x00100020 if keyword == "OtherPatientIDsSequence" else 0x00080100
            found[tag] = Element("SQ", ({inner: text("LO", "old")},))
        else:
            found[tag] = text(vr, value(vr, OLD))
    return plain._replace(data=encode(found, plain.syntax))


def change_index(archive: Running) -> None:
    """New values for every attribute of the tables, in the index alone."""
    further = {
        "patient": '{"00101002":{"vr":"SQ","Value":[{"00100020":{"vr":"LO","Value":["new"]}}]}}',
        "study": '{"00081032":{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":["new"]}}]},'
        '"00101010":{"vr":"AS","Value":["002Y"]},"00101020":{"vr":"DS","Value":["2"]},'
        '"00101030":{"vr":"DS","Value":["2"]},"00321032":{"vr":"PN","Value":[{"Alphabetic":"new"}]}}',
    }
    with archive.database.writing() as connection:
        for keyword, (name, column) in COLUMNS.items():
            tag = tag_of(keyword)
            assert tag is not None
            connection.execute(update(getattr(tables, name)).values({column: value(vr_of(tag), NEW)}))
        for name, attributes in further.items():
            connection.execute(update(getattr(tables, name)).values(attributes=attributes))


@pytest.fixture(scope="module")
def merged(tmp_path_factory: Any) -> dict[str, DataSet]:
    """What leaves with either table, once the index has other values."""
    from isocenter import database

    found: dict[str, DataSet] = {}
    for extent in ("full", "reduced", "off"):
        folder = tmp_path_factory.mktemp(extent)
        url = f"sqlite:///{folder / 'index.db'}"
        database.migrate(url)
        destination = Destination()
        with (
            listening(destination),
            running(folder, url, ae=HostedAE(merge_on_send=extent), peers=[destination.peer]) as archive,
        ):
            archive.send(stored_with_old_values())
            change_index(archive)
            ((_, found[extent]),) = moved(archive, destination)
            if extent == "off":
                assert destination.received[0].data == stored_with_old_values().data
    return found


def text_of(element: Element) -> str:
    inner = element.value
    while isinstance(inner, tuple):
        inner = next(iter(inner[0].values())).value
    return inner.decode("ascii").strip(" \0")


@pytest.mark.req("M-SEND-07", "M-STORE-15")
@pytest.mark.parametrize(("keyword", "tag"), TABLES["full"], ids=lambda part: str(part))
def test_rows_of_the_update_table_of_the_archive(merged: dict[str, DataSet], keyword: str, tag: int) -> None:
    assert text_of(merged["full"][tag]) == value(vr_of(tag), NEW)
    (item,) = items_of(merged["full"], ORIGINALS)
    assert text_of(items_of(item, 0x04000550)[0][tag]) == value(vr_of(tag), OLD)


@pytest.mark.req("M-DWSEND-04")
@pytest.mark.parametrize(("keyword", "tag"), TABLES["full"], ids=lambda part: str(part))
def test_rows_of_the_update_table_of_the_viewer(merged: dict[str, DataSet], keyword: str, tag: int) -> None:
    updated = (keyword, tag) in TABLES["reduced"]
    assert text_of(merged["reduced"][tag]) == value(vr_of(tag), NEW if updated else OLD)


def test_the_declared_tables_are_the_catalogue_s() -> None:
    assert {extent: {tag for _, tag in rows} for extent, rows in TABLES.items()} == dict(MERGED)


@pytest.mark.parametrize(("preset", "extent"), [("pacs", "full"), ("viewer", "reduced"), ("archive", "off")])
def test_presets_say_whether_values_are_merged(preset: Any, extent: str) -> None:
    assert build({"ae": [{"title": "X", "preset": preset}]}).aes[0].merge_on_send == extent


def test_rules_on_sending_see_the_merged_values(sqlite_url: str, tmp_path: Any) -> None:
    rule = {
        "where": [{"attribute": "PatientID", "equals": "new"}],
        "do": [{"copy": "PatientComments", "from": "PatientID"}],
    }
    destination = Destination()
    with (
        listening(destination),
        running(
            tmp_path, sqlite_url, ae=HostedAE(merge_on_send="full"), peers=[destination.peer], rules=rules(rule)
        ) as archive,
    ):
        archive.send(stored_with_old_values())
        change_index(archive)
        ((_, found),) = moved(archive, destination)
        assert (string_of(found, PATIENT_ID), string_of(found, COMMENTS)) == ("new", "new")
        first, second = items_of(found, ORIGINALS)
        assert string_of(first, 0x04000565) == "CORRECT"
        assert string_of(second, 0x04000565) == "COERCE"


@pytest.mark.parametrize("conflicting", ["serve", "withhold"])
@pytest.mark.parametrize("extent", ["full", "off"])
def test_an_object_in_conflict_is_never_merged(any_url: str, tmp_path: Any, conflicting: Any, extent: Any) -> None:
    """The second object names another patient for the same study."""
    ae = HostedAE(merge_on_send=extent, conflicting=conflicting)
    destination = Destination()
    agreed, disputed = made(1, PatientComments=""), made(2, PatientID="OTHER", PatientName="Other^One")
    with listening(destination), running(tmp_path, any_url, ae=ae, peers=[destination.peer]) as archive:
        archive.send(agreed, disputed)
        assert [row.kind for row in archive.rows("conflict")] == ["patient-differs"]
        change_index(archive)
        progress = archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))
        names = {each.sop_uid: string_of(header(each.data, each.syntax), NAME) for each in destination.received}
        assert names[sop_uid(1)] == ("new" if extent == "full" else "Doe^Jane")
        if conflicting == "withhold":
            assert sop_uid(2) not in names
            assert (progress[-1].status, progress[-1].failed) == (0xB000, 1)
        else:
            assert progress[-1].status == 0
            assert destination.received[-1].data == disputed.data
        with archive.database.writing() as connection:
            connection.execute(update(tables.conflict).values(settled_at=1))
        archive.move("DEST", keys("STUDY", StudyInstanceUID=study_uid()))
        last = {each.sop_uid: string_of(header(each.data, each.syntax), NAME) for each in destination.received[-2:]}
        assert last[sop_uid(2)] == ("new" if extent == "full" else "Other^One")
