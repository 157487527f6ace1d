"""Attributes that the settings have indexed: matched and returned like other keys, also of what was stored before."""

import struct
from pathlib import Path

import pytest

from archives import Object, Running, keys, made, running, study_uid
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, Element, decode, encode, sequence, string_of, text
from isocenter.errors import ConfigurationError
from isocenter.jobs import Queue, Runner, indexing

RELATIONAL = b"\x01"
ACQUISITION, DOSE, RADIO = 0x00200012, 0x00181074, 0x00540016
CREATOR, PRIVATE = 0x00090010, 0x00091001
ATTRIBUTES = (
    "image:AcquisitionNumber",
    "image:RadiopharmaceuticalInformationSequence.RadionuclideTotalDose",
    "image:00091001:LO:ACME 1.0",
    "image:SmallestImagePixelValue",
    "series:ContrastBolusAgent",
    "study:PatientState",
)


def with_more(number: int, *, series: int = 1, creator: str = "ACME 1.0", syntax: str = uids.EXPLICIT_LE) -> Object:
    """An instance with a value for each of ATTRIBUTES, by its number."""
    plain = made(number, series=series, pixels=b"", AcquisitionNumber=str(number), PatientState=f"State {series}")
    dose: DataSet = {DOSE: text("DS", f"{number}.5")}
    more: DataSet = {
        CREATOR: text("LO", creator),
        PRIVATE: text("LO", f"Private {number}"),
        RADIO: sequence(dose),
        0x00280106: Element("US", struct.pack("<H", number)),
        0x00180010: text("LO", f"Agent {series}"),
    }
    data = encode({**decode(plain.data, uids.EXPLICIT_LE), **more}, syntax)
    return plain._replace(data=data, syntax=syntax)


def asked(**values: str) -> DataSet:
    """An identifier at image level that asks for all of them."""
    found = keys("IMAGE", SOPInstanceUID="", StudyInstanceUID=study_uid(), SeriesInstanceUID="", **values)
    return {
        **found,
        ACQUISITION: found.get(ACQUISITION, text("IS", "")),
        PRIVATE: text("LO", ""),
        CREATOR: text("LO", "ACME 1.0"),
        RADIO: sequence({DOSE: text("DS", "")}),
        0x00280106: Element("US", b""),
        0x00180010: text("LO", ""),
    }


def numbers(archive: Running, identifier: DataSet) -> list[str]:
    """The last components of the SOP Instance UIDs that are found."""
    answers = archive.find(identifier, extended=RELATIONAL)
    assert answers[-1] == (0, {})
    return sorted(string_of(found, 0x00080018).rpartition(".")[2] for _, found in answers[:-1])


MATCHES: list[tuple[DataSet, list[str]]] = [
    ({ACQUISITION: text("IS", "2")}, ["2"]),
    ({PRIVATE: text("LO", "private 1*")}, ["1"]),
    ({RADIO: sequence({DOSE: text("DS", "3.5")})}, ["3"]),
    ({0x00280106: Element("US", struct.pack("<H", 1))}, ["1"]),
    ({0x00180010: text("LO", "AGENT 2")}, ["3"]),
    ({0x00380500: text("LO", "state 1")}, ["1", "2", "3"]),
    ({0x00380500: text("LO", "nothing")}, []),
]


def check(archive: Running) -> None:
    """Each of ATTRIBUTES matches and returns."""
    base = keys("IMAGE", SOPInstanceUID="")
    for key, expected in MATCHES:
        assert numbers(archive, {**base, **key}) == expected, key
    answers = archive.find({**asked(), 0x00200011: text("IS", "1")}, extended=RELATIONAL)
    found = {string_of(answer, ACQUISITION): answer for _, answer in answers[:-1]}
    assert sorted(found) == ["1", "2"]
    answer = found["2"]
    assert string_of(answer, PRIVATE) == "Private 2"
    assert answer[RADIO].value == ({DOSE: Element("DS", b"2.5 ")},)
    assert answer[0x00280106] == Element("US", struct.pack("<H", 2))
    assert string_of(answer, 0x00180010) == "Agent 1"


@pytest.mark.req("M-FIND-03", "I-FIND-01")
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE])
def test_of_what_arrives(tmp_path: Path, any_url: str, syntax: str) -> None:
    with running(tmp_path, any_url, attributes=ATTRIBUTES) as archive:
        archive.send(with_more(1, syntax=syntax), with_more(2, syntax=syntax), with_more(3, series=2, syntax=syntax))
        check(archive)
        # every key is supported but the private creator, which is none
        identifier = keys("IMAGE", AcquisitionNumber="", PatientState="", SOPInstanceUID="")
        assert {status for status, _ in archive.find(identifier, extended=RELATIONAL)} == {0xFF00, 0}


@pytest.mark.req("M-FIND-11", "X-QR-24")
def test_without_them_the_keys_are_unsupported(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url) as archive:
        archive.send(with_more(1), with_more(2))
        answers = archive.find(asked(), extended=RELATIONAL)
        assert [status for status, _ in answers] == [0xFF01, 0xFF01, 0]
        assert {string_of(found, ACQUISITION) for _, found in answers} == {""}


@pytest.mark.req("M-FIND-03")
def test_another_creators_block_is_not_taken(tmp_path: Path, sqlite_url: str) -> None:
    with running(tmp_path, sqlite_url, attributes=ATTRIBUTES) as archive:
        archive.send(with_more(1, creator="OTHER"), with_more(2))
        assert numbers(archive, {**keys("IMAGE", SOPInstanceUID=""), PRIVATE: text("LO", "Private*")}) == ["2"]


class Killed:
    """A job whose process ends as soon as it has done something."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def progress(self, text: str) -> None:
        self._seen.append(text)
        raise KeyboardInterrupt

    def cancelled(self) -> bool:
        return False


@pytest.mark.req("M-FIND-03")
def test_of_what_was_stored_before(tmp_path: Path, any_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "PAGE", 1)
    with running(tmp_path, any_url) as archive:
        archive.send(with_more(1), with_more(2), with_more(3, series=2))
        queue = Queue(archive.database)
        handle = indexing.handler(archive.database, archive.store, ATTRIBUTES)
        seen: list[str] = []

        with pytest.raises(KeyboardInterrupt):
            handle(Killed(seen))  # type: ignore[arg-type]
        assert seen == ["1/3"]
        assert indexing.progress(archive.database) == ((), ATTRIBUTES, 1, 3)
        # the next one goes on where that one was
        queue.enqueue(indexing.KIND)
        runner = Runner(queue, {indexing.KIND: handle})
        assert runner.run_once()
        assert indexing.progress(archive.database) == (ATTRIBUTES, (), 0, 0)
        assert archive.rows("job")[-1].state == "done"
        assert archive.rows("job")[-1].progress == "3/3"
        before = archive.rows("attribute")
        # nothing is done twice
        queue.enqueue(indexing.KIND)
        assert runner.run_once()
        assert archive.rows("attribute") == before
    with running(tmp_path, any_url, attributes=ATTRIBUTES) as archive:
        check(archive)


@pytest.mark.req("M-FIND-03")
def test_one_that_is_taken_out_and_named_again_is_looked_for_again(tmp_path: Path, sqlite_url: str) -> None:
    one, two = ("image:AcquisitionNumber",), ("image:AcquisitionNumber", "series:ContrastBolusAgent")
    with running(tmp_path, sqlite_url, attributes=two) as archive:
        archive.send(with_more(1), with_more(2))
        for attributes in (two, one, two):
            queue = Queue(archive.database)
            queue.enqueue(indexing.KIND)
            handle = indexing.handler(archive.database, archive.store, attributes)
            assert Runner(queue, {indexing.KIND: handle}).run_once()
            assert indexing.progress(archive.database).done == attributes
        assert numbers(archive, {**keys("IMAGE", SOPInstanceUID=""), ACQUISITION: text("IS", "1")}) == ["1"]
        paths = [row.path for row in archive.rows("attribute")]
        assert (paths.count("00200012"), paths.count("00180010")) == (2, 1), "once each"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("AcquisitionNumber", "does not begin with"),
        ("image:Nothing", "neither a keyword nor a tag"),
        ("image:00091001", "give the VR of a private element"),
        ("image:PixelData", "no attribute of an object's header"),
        ("image:00020010", "no attribute of an object's header"),
        ("image:RedPaletteColorLookupTableData", "VR OW has no text"),
    ],
)
def test_what_can_not_be_indexed(given: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        configured_keys((given,))
