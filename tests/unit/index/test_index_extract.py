"""What the index takes from a header: values, folded names, sequences, identities; of real files as pydicom reads."""

import csv
import json
from pathlib import Path

import pydicom
import pytest

from isocenter.dicom import part10
from isocenter.dicom.dataset import DataSet, Element, encode, sequence, text, uid, us
from isocenter.dicom.scan import scan, scan_file
from isocenter.errors import Refused
from isocenter.index import extract, keys
from isocenter.index.records import Arrival
from material import REQUIREMENTS, packaged_files

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def _data_set(**more: Element) -> DataSet:
    made = {
        0x00080016: uid("1.2.840.10008.5.1.4.1.1.2"),
        0x00080018: uid("1.2.3.1"),
        0x0020000D: uid("1.2.3.2"),
        0x0020000E: uid("1.2.3.3"),
        0x00100010: text("PN", "Doe^Jane^^"),
        0x00100020: text("LO", " P1 "),
        0x00200013: text("IS", "12"),
        0x00280010: us(512),
        0x00280011: us(256),
    }
    made.update({int(tag[1:], 16): element for tag, element in more.items()})
    return made


def _arrival(data_set: DataSet, syntax: str = EXPLICIT, **changes: str) -> Arrival:
    data = encode(data_set, syntax)
    found = scan(data, syntax, extract.INDEXED)
    return extract.arrival(
        found, store_key="k", digest="d", size=len(data), offset=1, received_at=2, source_aet="A", **changes
    )


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_the_usual_values(syntax: str) -> None:
    a = _arrival(_data_set(), syntax)
    assert (a.study_uid, a.series_uid, a.sop_uid) == ("1.2.3.2", "1.2.3.3", "1.2.3.1")
    assert a.patient["patient_id"] == "P1"
    assert a.patient["identity"] == "\\P1"
    assert a.patient["name_fold"] == "doe^jane"
    assert (a.instance["instance_number"], a.instance["instance_number_value"]) == ("12", 12)
    assert (a.instance["rows"], a.instance["columns"], a.instance["frames"]) == (512, 256, None)
    assert a.flags == ()


def test_issuer_and_missing_patient_id() -> None:
    assert _arrival(_data_set(), issuer="HOSP").patient["identity"] == "HOSP\\P1"
    own = _arrival(_data_set(t00100021=text("LO", "OWN")), issuer="HOSP")
    assert own.patient["identity"] == "OWN\\P1"
    nobody = _arrival(_data_set(t00100020=text("LO", "")), issuer="HOSP")
    assert nobody.patient["identity"] == "\\\\1.2.3.2"


def test_name_groups_and_character_sets() -> None:
    raw = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
    a = _arrival(
        _data_set(t00080005=Element("CS", b"\\ISO 2022 IR 87"), t00100010=Element("PN", raw)),
    )
    assert a.patient["patient_name"] == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert a.patient["name_ideographic_fold"] == "山田^太郎"
    assert a.patient["name_phonetic_fold"].startswith("やま")
    assumed = _arrival(_data_set(t00100010=Element("PN", "Müller".encode("latin-1"))), character_set="ISO_IR 100")
    assert assumed.patient["patient_name"] == "Müller"
    assert assumed.patient["name_fold"] == "muller"


def test_code_sequences_become_rows_and_json() -> None:
    def code(value: str, meaning: str) -> DataSet:
        return {0x00080100: text("SH", value), 0x00080102: text("SH", "99X"), 0x00080104: text("LO", meaning)}

    a = _arrival(
        _data_set(t00081032=sequence(code("C1", "Thorax"), code("C2", "Ärm")), t00080005=text("CS", "ISO_IR 192"))
    )
    rows = [row for row in a.attributes if row[1].startswith("00081032")]
    assert ("S", "00081032.00080100", 0, "C1", "c1") in rows
    assert ("S", "00081032.00080102", 1, "99X", "99x") in rows
    model = json.loads(a.study["attributes"])
    assert model["00081032"]["Value"][0]["00080104"] == {"vr": "LO", "Value": ["Thorax"]}


def test_items_of_nested_sequences_are_numbered_apart() -> None:
    def request(number: str, *codes: str) -> DataSet:
        inner = sequence(*({0x00080100: text("SH", each)} for each in codes))
        return {0x00401001: text("SH", number), 0x00321064: inner}

    a = _arrival(_data_set(t0040A370=sequence(request("R1", "a", "b"), request("R2", "c"))))
    found = {(row[1], row[2], row[3]) for row in a.attributes}
    assert ("0040A370.00401001", 1, "R2") in found
    assert {(n, v) for path, n, v in found if path.endswith(".00080100")} == {(0, "a"), (1, "b"), (2, "c")}


def test_further_patient_ids_and_accessions() -> None:
    other = {0x00100020: text("LO", "X9"), 0x00100021: text("LO", "LAB")}
    request = {0x00080050: text("SH", "ACC2"), 0x00400009: text("SH", "SPS1")}
    a = _arrival(
        _data_set(
            t00080050=text("SH", "ACC1"),
            t00101000=text("LO", "Y1\\Y2"),
            t00101002=sequence(other),
            t00400275=sequence(request),
        )
    )
    assert a.patient_ids == (("X9", "LAB"), ("Y1", ""), ("Y2", ""))
    assert a.study["accession"] == "ACC1"
    assert a.accessions == (("ACC2", ""),)
    assert ("E", "00400275.00400009", 0, "SPS1", "sps1") in a.attributes


@pytest.mark.parametrize("odd", ["1.02.3", "1.2." + "9" * 80, "1.2.x"])
def test_irregular_uids_are_taken_and_flagged(odd: str) -> None:
    a = _arrival(_data_set(t00080018=uid(odd)))
    assert a.sop_uid == odd
    assert a.flags == ("irregular-uid",)


def test_what_has_no_identity_is_refused() -> None:
    for element in (uid(""), uid("1" * 300)):
        with pytest.raises(Refused):
            _arrival(_data_set(t0020000D=element))


def test_odd_values() -> None:
    a = _arrival(
        _data_set(
            t00200013=text("IS", "abc"),
            t00200011=text("IS", "99999999999999999999"),
            t00280008=text("IS", "5000000000"),
            t00280010=Element("US", b""),
            t00081030=Element("LO", b"A\0B"),
            t00104000=text("LT", "x" * 10_000),
            t0040A043=Element("UN", b"\x01\x02\x03\x04\x05\x06"),
        )
    )
    assert a.instance["instance_number_value"] is None
    assert a.series["series_number_value"] is None
    assert a.instance["frames"] is None
    assert a.instance["rows"] is None
    assert a.study["description"] == "AB"
    assert [len(row[4]) for row in a.attributes if row[1] == "00104000"] == [256]


def test_what_a_series_shares_is_worked_out_once() -> None:
    first, second = _arrival(_data_set()), _arrival(_data_set(t00200013=text("IS", "13")))
    assert first.study is second.study
    other = _arrival(_data_set(t00081030=text("LO", "other")))
    assert other.study is not first.study


@pytest.mark.parametrize("level", ["PATIENT", "STUDY", "SERIES", "IMAGE"])
def test_every_query_key_of_the_catalogue_is_indexed(level: str) -> None:
    computed = {
        0x00080061,
        0x00080056,
        0x00081190,
        0x00201200,
        0x00201202,
        0x00201204,
        0x00201206,
        0x00201208,
        0x00201209,
    }
    private = {0x00390100}
    wanted = set()
    for name in ("marie_query_keys.csv", "iconnect_query_keys.csv"):
        with Path(REQUIREMENTS / name).open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                archive = row["ae"] in ("MARIE_PACS", "ARCHIVE", "QIDO_RS") and row["role"] == "SCP"
                if archive and row["level"].startswith(level) and "MWL" not in row["service"]:
                    wanted.add(tuple(int(t.strip("()").replace(",", ""), 16) for t in row["tag"].split(">")))
    for path in wanted:
        tags = keys.INDEXED
        if path[0] in computed | private:
            continue
        assert path[0] in tags, f"{path[0]:08X}"
        inner = next((further[path[0]] for further in keys.FURTHER.values() if path[0] in further), None)
        for tag in path[1:]:
            assert inner is not None
            assert tag in inner, [f"{t:08X}" for t in path]
            inner = inner[tag]


def _real() -> list[Path]:
    return packaged_files()


def test_real_files_agree_with_pydicom() -> None:
    compared = 0
    for path in _real():
        data = path.read_bytes()
        try:
            theirs = pydicom.dcmread(path, stop_before_pixels=True)
            header = part10.read_header(data)
            body = data[header.offset :]
            found = scan_file(lambda n, at, b=body: b[at : at + n], len(body), header.syntax, extract.INDEXED)
            a = extract.arrival(
                found, store_key="k", digest="", size=len(body), offset=0, received_at=0, source_aet="",
                read=lambda n, at, b=body: b[at : at + n],
            )  # fmt: skip
        except Exception:
            continue
        compared += 1
        assert a.sop_uid == str(theirs.SOPInstanceUID)
        assert a.instance["rows"] == theirs.get("Rows")
        assert a.study["study_date"] == (theirs.get("StudyDate") or "")
        assert a.patient["patient_id"] == (theirs.get("PatientID") or "").strip()
        assert a.series["modality"] == (theirs.get("Modality") or "")
        json.loads(a.study["attributes"] or "{}")
    assert compared > 40
