"""Every attribute that the catalogue names for MPPS: taken in, given back by N-GET, passed on as it came."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import archives
from databases import migrated
from isocenter.config import HostedAE
from isocenter.dicom import dataset, uids
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.dictionary import tag_of, vr_of
from procedure_steps import Delivering, Modality, Ris, ae_of, message, rows, taking, text_at

_VALUES = {"DA": "20240131", "TM": "101500", "PN": "Doe^Jane", "DS": "1.5", "IS": "2", "AE": "STATION1", "CS": "VALUE"}
_STATUS = "PerformedProcedureStepStatus"


class Row(NamedTuple):
    """An attribute of a source's messages."""

    source: str
    operation: str
    path: str
    empty: bool = False
    both: bool = False

    @property
    def name(self) -> str:
        """For pytest."""
        return f"{self.source} {self.operation} {self.path}"


def _samples() -> list[Row]:
    """Annex B of PS3.2, which tells what a modality sends."""
    found = [row for row in rows("ps32_attributes") if row["annex"] == "B" and row["object"].startswith("MPPS")]
    return [
        Row("B", row["object"].removeprefix("MPPS N-").lower(), _path(row), row["presence_or_default"] == "EMPTY")
        for row in found
    ]


def _ris() -> list[Row]:
    """Annex C, which tells what an information system takes in. The retired order numbers have no keyword of their
    own in use."""
    found = [row for row in rows("ps32_attributes") if row["annex"] == "C" and row["object"].startswith("MPPS")]
    return [
        Row("C", "create", _path(row), False, "N-SET" in row["value_or_range"] or not row["value_or_range"])
        for row in found
    ]


def _path(row: Mapping[str, str]) -> str:
    # two order numbers are printed with the tags that they had before (X-AMB-09)
    return ">".join(filter(None, (row["parent_path"], row["keyword"])))


def _bridge() -> list[Row]:
    """Tables 52 and 54 of the integration server: what it passes on."""
    found = []
    for row in rows("intellibridge_attributes"):
        if row["ae"] == "MPPS":
            tags = [int(step[1:5] + step[6:10], 16) for step in row["tag"].split(">")]
            operation = "create" if "CREATE" in row["service"] else "set"
            empty = "always empty" in row["usage"]
            found.append(Row("P", operation, ">".join(_keyword(tag) for tag in tags), empty))
    return found


def _keyword(tag: int) -> str:
    from isocenter.dicom.dictionary import keyword_of

    return keyword_of(tag)


ROWS = [*_samples(), *_ris(), *_bridge()]


def _message(wanted: list[Row], *, state: str) -> DataSet:
    """A message that has all of `wanted`."""
    named = {row.path for row in wanted}
    values: dict[str, str | int | None] = {}
    for n, row in enumerate(wanted, 1):
        inner = any(other.startswith(f"{row.path}>") for other in named)
        if not inner:
            values[row.path] = "" if row.empty else _value(row.path, n)
    if _STATUS in named:
        values[_STATUS] = state
    if "SpecificCharacterSet" in named:
        values["SpecificCharacterSet"] = "ISO_IR 100"
    return message(values)


def _value(path: str, n: int) -> str | int:
    tag = tag_of(path.rpartition(">")[2])
    assert tag is not None, path
    vr = vr_of(tag)
    if vr == "US":
        return n
    if vr == "UI":
        return f"1.2.826.0.1.3680043.10.999.{n}"
    return _VALUES.get(vr, f"Value {n}")


class Exchanged(NamedTuple):
    """What a source's messages became."""

    statuses: list[int]
    sent: dict[str, DataSet]
    """By operation."""
    forwarded: dict[str, DataSet]
    kept: dict[str, DataSet]
    """What N-GET gives after each."""


_AES = {
    "B": ae_of(mpps={"forward": ["RIS"]}),
    "C": ae_of("ris", mpps={"forward": ["RIS"], "checks": "flag"}),
    "P": ae_of("bridge", mpps={"forward": ["RIS"]}),
}


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exchanged]:
    return {source: _exchange(tmp_path_factory.mktemp(source), source, ae) for source, ae in _AES.items()}


def _exchange(folder: Path, source: str, ae: HostedAE) -> Exchanged:
    mine = [row for row in ROWS if row.source == source]
    creating = [row for row in mine if row.operation == "create"]
    setting = [row for row in mine if row.operation == "set" or (source == "C" and row.both)]
    sent = {
        "create": _message(creating, state="IN PROGRESS"),
        "set": _message([row._replace(empty=False) for row in setting], state="COMPLETED"),
    }
    peer, uid = Ris(), f"{archives.ROOT}.77"
    kept: dict[str, DataSet] = {}
    statuses = []
    with taking(peer), archives.running(folder, migrated(folder), ae=ae, peers=[peer.peer]) as archive:
        with Modality(archive) as modality:
            for operation, data in sent.items():
                done = modality.create(uid, data) if operation == "create" else modality.set(uid, data)
                statuses.append(done.status)
                kept[operation] = modality.get(uid)[1]
        assert Delivering(archive).all() == ["delivered", "delivered"]
    forwarded = {each.operation: dataset.decode(each.data or b"", each.syntax) for each in peer.received}
    return Exchanged(statuses, sent, forwarded, kept)


@pytest.mark.req("X-RIS-03", "X-MOD-53", "P-MPPS-02", "P-MPPS-03", "P-MPPS-14", "P-MPPS-15")
@pytest.mark.parametrize("source", _AES)
def test_the_messages_of_a_source_are_accepted(exchanged: dict[str, Exchanged], source: str) -> None:
    assert exchanged[source].statuses == [0, 0]


@pytest.mark.req("X-MOD-53", "X-RIS-35", "P-MPPS-14", "P-MPPS-15", "I-MPPS-01", "I-MPPS-02", "P-MPPS-07")
@pytest.mark.req(
    *(f"P-MPPS-T52-{number:02d}" for number in range(1, 38)),
    *(f"P-MPPS-T54-{number:02d}" for number in range(1, 13)),
)
@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_an_attribute_is_kept_and_passed_on(exchanged: dict[str, Exchanged], row: Row) -> None:
    """What the catalogue names stands in the message, in what is passed on and in what N-GET gives after it."""
    found = exchanged[row.source]
    sent = text_at(found.sent[row.operation], row.path)
    assert sent is not None
    assert text_at(found.forwarded[row.operation], row.path) == sent
    if row.path != "SpecificCharacterSet":  # the answer has the character set that it needs
        assert text_at(found.kept[row.operation], row.path) == sent


_ONCE = [row for row in ROWS if row.source == "C" and not row.both and row.path != "SpecificCharacterSet"]


@pytest.fixture(scope="module")
def set_again(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A step after an N-SET that brings what only N-CREATE may."""
    folder, uid = tmp_path_factory.mktemp("again"), f"{archives.ROOT}.78"
    creating = [row for row in ROWS if row.source == "C" and row.path != "SpecificCharacterSet"]
    others = message({row.path: "20200101" if _vr(row.path) == "DA" else "1" for row in _ONCE if _vr(row.path) != "SQ"})
    with archives.running(folder, migrated(folder)) as archive, Modality(archive) as modality:
        assert modality.create(uid, _message(creating, state="IN PROGRESS")).status == 0
        assert modality.set(uid, others).status == 0
        return modality.get(uid)[1]


def _vr(path: str) -> str:
    return vr_of(tag_of(path.rpartition(">")[2]) or 0)


@pytest.mark.req("X-RIS-35")
@pytest.mark.parametrize("row", [pytest.param(row, id=row.path) for row in _ONCE])
def test_what_only_n_create_brings_no_n_set_changes(
    set_again: DataSet, exchanged: dict[str, Exchanged], row: Row
) -> None:
    creating = [each for each in ROWS if each.source == "C" and each.path != "SpecificCharacterSet"]
    assert text_at(set_again, row.path) == text_at(_message(creating, state="IN PROGRESS"), row.path)


@pytest.mark.req("I-MPPS-04", "P-MPPS-09")
def test_all_sources_are_passed_on_in_the_syntax_they_came_in(tmp_path: Path, sqlite_url: str) -> None:
    peer = Ris()
    with taking(peer), archives.running(tmp_path, sqlite_url, ae=_AES["B"], peers=[peer.peer]) as archive:
        for n, syntax in enumerate((uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE)):
            with Modality(archive, syntax=syntax) as modality:
                assert modality.create(f"{archives.ROOT}.{n}", message({"PatientID": "P1"})).status == 0
        assert set(Delivering(archive).all()) == {"delivered"}
    assert [each.syntax for each in peer.received] == [
        *(uids.EXPLICIT_LE, uids.IMPLICIT_LE, uids.EXPLICIT_BE, uids.DEFLATED_LE)
    ]
