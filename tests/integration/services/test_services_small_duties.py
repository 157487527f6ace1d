"""Small duties that no larger test covers: verification that is no proper request, long-lived associations, private
keys of other vendors, and what of an object an edit leaves alone."""

import csv
import struct
import time
from contextlib import closing
from pathlib import Path

import pytest

from archives import Destination, Running, keys, listening, made, running, study_uid
from edited_archives import WHO, attributes, editor
from isocenter import dimse
from isocenter.archive.edits.checks import Target
from isocenter.config import HostedAE, build
from isocenter.declarations.presets import Preset
from isocenter.dicom import uids
from isocenter.dicom.dataset import Element, decode, encode, text, uid
from isocenter.dimse import ProposedContext, commands
from material import REQUIREMENTS

VERIFICATION = ProposedContext(uids.VERIFICATION, (uids.IMPLICIT_LE,))


# --- verification


@pytest.mark.req("X-MOD-38", "I-ECHO-01", "P-ECHO-05", "P-ECHO-07", "X-RIS-05")
@pytest.mark.parametrize("preset", ["default", "bridge", "ris"])
def test_an_echo_that_is_no_proper_request(tmp_path: Path, sqlite_url: str, preset: Preset) -> None:
    """C000 with an Error Comment; the association and the next echo are none the worse."""
    (ae,) = build({"ae": [{"title": "ISOCENTER", "preset": preset, "policy": "open"}]}).aes
    with running(tmp_path, sqlite_url, ae=ae) as archive, archive.connect(VERIFICATION) as association:
        (context,) = association.contexts.values()
        assert association.echo() == 0
        improper = association.invoke(context.id, commands.echo_rq(), b"a data set")
        assert (improper.status, improper.comment) == (0xC000, "C-ECHO has no data set")
        assert association.echo() == 0


# --- associations that stay


@pytest.mark.req("X-QR-43")
def test_the_storage_server_takes_a_study_in_any_number_of_associations(tmp_path: Path, sqlite_url: str) -> None:
    """And waits a quarter of an hour for the next request of one."""
    (ae,) = build({"ae": [{"title": "STORAGE", "preset": "storage-server", "policy": "open"}]}).aes
    assert ae.idle == 15 * 60
    with running(tmp_path, sqlite_url, ae=ae) as archive:
        for number in range(1, 31):
            archive.send(made(number, series=number % 3 + 1))
        assert [len(archive.rows(table)) for table in ("study", "series", "instance")] == [1, 3, 30]


@pytest.mark.req("X-QR-43")
def test_an_echo_starts_the_idle_time_anew(tmp_path: Path, sqlite_url: str) -> None:
    """An association that echoes outlives several times the idle time; left alone, it is ended."""
    idle = 0.6
    with running(tmp_path, sqlite_url, ae=HostedAE(idle=idle)) as archive:
        association = archive.connect(VERIFICATION)
        with closing(association):
            until = time.monotonic() + 3 * idle
            while time.monotonic() < until:
                assert association.echo() == 0
            with pytest.raises(dimse.AssociationAborted):
                association.listen(60)


# --- private keys of other vendors


def _private() -> list[tuple[int, str]]:
    with (REQUIREMENTS / "marie_attributes.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if row[3].startswith("ORCZ") and row[2].startswith("(6FDB,1")]
    return [(int(row[2][1:5] + row[2][6:10], 16), row[4].split(";")[0].removeprefix("VR ")) for row in rows]


_SAMPLES = {"LO": "category", "DA": "20240229", "TM": "101500", "DT": "20240229101500", "DS": "12.5", "UT": "mm"}


def _element(vr: str) -> Element:
    if vr == "US":
        return Element("US", struct.pack("<H", 7))
    return uid("1.2.3.44") if vr == "UI" else text(vr, _SAMPLES[vr])


@pytest.mark.req("M-PRIV-03")
def test_private_attributes_of_the_catalogue_are_keys_where_they_are_configured(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Each matches by its value and is returned, in instances and in no others."""
    private = _private()
    assert len(private) > 15
    named = tuple(f"image:{tag:08X}:{vr}:ORCZ" for tag, vr in private)
    plain, marked = made(1), made(2)
    data_set = decode(marked.data, uids.EXPLICIT_LE)
    more = {0x6FDB0010: text("LO", "ORCZ"), **{tag: _element(vr) for tag, vr in private}}
    marked = marked._replace(data=encode(dict(sorted((data_set | more).items())), uids.EXPLICIT_LE))
    with running(tmp_path, sqlite_url, attributes=named) as archive:
        archive.send(plain, marked)
        for tag, vr in private:
            wanted = {**_image(), 0x6FDB0010: text("LO", "ORCZ"), tag: _element(vr)}
            found = [answer for _, answer in archive.find(wanted)[:-1]]
            assert [answer[0x00080018] for answer in found] == [uid(marked.sop_uid)], f"{tag:08X}"
            assert found[0][tag] == _element(vr)


def _image() -> dict[int, Element]:
    return {
        **keys("IMAGE", StudyInstanceUID=study_uid(), SeriesInstanceUID=made(1).series, SOPInstanceUID=""),
    }


# --- what leaves


@pytest.mark.req("X-QR-06")
def test_instances_leave_as_received_but_for_what_was_edited(tmp_path: Path, sqlite_url: str) -> None:
    """The SOP Instance UID and everything that the edit doesn't name stay, private elements and pixels too."""
    private = {0x00090010: text("LO", "ACME 1.0"), 0x00091001: Element("UN", b"\1\2\3\4")}
    edited, other = made(1), made(1, study=2)
    whole = dict(sorted((decode(edited.data, uids.EXPLICIT_LE) | private).items()))
    edited = edited._replace(data=encode(whole, uids.EXPLICIT_LE))
    dest = Destination()
    with listening(dest), running(tmp_path, sqlite_url, peers=[dest.peer]) as archive:
        archive.send(edited, other)
        editor(archive).attributes(Target.study(study_uid()), attributes(StudyDescription="Pelvis"), WHO)
        _move(archive, study_uid())
        _move(archive, study_uid(2))
    changed, same = dest.received
    assert same.data == other.data
    assert changed.sop_uid == edited.sop_uid
    left = decode(changed.data, uids.EXPLICIT_LE)
    assert left.pop(0x00081030) == text("LO", "Pelvis")
    del left[0x04000561], whole[0x00081030]  # Original Attributes Sequence tells of it
    assert left == whole


def _move(archive: Running, study: str) -> None:
    assert archive.move("DEST", keys("STUDY", StudyInstanceUID=study))[-1].status == 0
