"""Messages that tell others of orders and studies: pure functions from DICOM JSON to HL7.

    order_status(entry.model, Status.COMPLETED, when)                  ORM^O01 or OMG^O19, ORC-1 SC
    study_available(entry.model, when, Study(uid, series, instances))  ORU^R01 or OMI^O23

A model is a worklist entry's, or `of_archived`: what the archive says of a study that nobody ordered. What it lacks is
left empty. The headers hold the type alone; `messages.outbox.Outbox` fills in the rest for the destination.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, func, select

from isocenter.dicom.json_reading import text_of
from isocenter.hl7.message import Message, Segment, Value, segment
from isocenter.index.level_models import columns, from_column, loaded
from isocenter.index.tables import patient, series, study
from isocenter.workflow.worklist.attributes import Model, written
from isocenter.workflow.worklist.states import State

Form = Literal["ORM", "OMG", "ORU", "OMI"]

_STUDY: Final = ("113014", "DICOM Study", "DCM")
_COUNTS: Final = (
    ("series", "NM", ("NumberOfStudyRelatedSeries", "Number of Study Related Series", "L")),
    ("instances", "NM", ("NumberOfStudyRelatedInstances", "Number of Study Related Instances", "L")),
)
_STEPS: Final = "00400100"
_SEX: Final = {"M": "M", "F": "F", "O": "O"}


class Status(Enum):
    """How an order stands: ORC-5 (HL7 table 0038) and OBR-25 (table 0123)."""

    SCHEDULED = ("SC", "S")
    IN_PROGRESS = ("IP", "I")
    COMPLETED = ("CM", "R")
    DISCONTINUED = ("DC", "X")
    CANCELLED = ("CA", "X")
    AVAILABLE = ("A", "R")
    """Images are there, and no report yet."""

    @property
    def order(self) -> str:
        """ORC-5."""
        return self.value[0]

    @property
    def result(self) -> str:
        """OBR-25."""
        return self.value[1]


_BY_STATE: Final = {
    **dict.fromkeys((State.SCHEDULED, State.ARRIVED, State.READY), Status.SCHEDULED),
    **dict.fromkeys((State.STARTED, State.DEPARTED), Status.IN_PROGRESS),
    State.COMPLETED: Status.COMPLETED,
    State.DISCONTINUED: Status.DISCONTINUED,
    State.CANCELLED: Status.CANCELLED,
}


def status_of(state: State) -> Status:
    """How the order of a worklist entry in this state stands."""
    return _BY_STATE[state]


class Study(NamedTuple):
    """A study that is available, and how much of it there is."""

    uid: str
    series: int = 0
    instances: int = 0


def order_status(
    model: Mapping[str, Any], status: Status, when: str, *, form: Literal["ORM", "OMG"] = "ORM"
) -> Message:
    """That an order has come to a status. `when`: as HL7 writes times, in the destination's zone."""
    kind = ("OMG", "O19", "OMG_O19") if form == "OMG" else ("ORM", "O01", "ORM_O01")
    orders = [_orc(model, status, when), _obr(model, status, when)]
    return Message([_msh(kind), _pid(model), _pv1(model), *orders, *_zds(_text(model, "0020000D"))])


def study_available(
    model: Mapping[str, Any], when: str, available: Study, *, form: Literal["ORU", "OMI"] = "ORU"
) -> Message:
    """That a study is in the archive, and complete as far as is known."""
    parts = [_pid(model), _pv1(model), _orc(model, Status.AVAILABLE, when), _obr(model, Status.AVAILABLE, when)]
    if form == "OMI":
        return Message([_msh(("OMI", "O23", "OMI_O23")), *parts, _ipc(model, available.uid)])
    return Message([_msh(("ORU", "R01", "ORU_R01")), *parts, *_observations(available, when)])


def of_archived(connection: Connection, study_uid: str) -> Model:
    """What the archive says of a study and its patient; {} for one that is not there."""
    found: Model = {}
    for level, table in (("P", patient), ("S", study)):
        known = tuple(columns(level).items())
        query = select(*(table.c[key.column] for _, key in known), table.c.attributes)
        joined = query.select_from(study.join(patient, patient.c.id == study.c.patient))
        row = connection.execute(joined.where(study.c.study_uid == study_uid)).first()
        if row is None:
            return {}
        found |= loaded(row[-1])
        texts = zip(known, row, strict=False)
        found |= {f"{tag:08X}": dict(from_column(key.vr, str(text))) for (tag, key), text in texts if text}
    return {**found, **written("0020000D", study_uid)}


def counted(connection: Connection, study_uid: str) -> Study:
    """How much of a study there is."""
    c = series.c
    query = select(func.count(), func.coalesce(func.sum(c.instances), 0)).join(study, study.c.id == c.study)
    row = connection.execute(query.where(study.c.study_uid == study_uid, c.instances > 0)).one()
    return Study(study_uid, int(row[0]), int(row[1]))


# --- segments


def _msh(kind: tuple[str, str, str]) -> Segment:
    return Segment("MSH", ["|", "^~\\&", "", "", "", "", "", "", "^".join(kind)])


def _pid(model: Mapping[str, Any]) -> Segment:
    names = [name for name in _names(model, "00100010") if any(name)]
    sex = _SEX.get(_text(model, "00100040"), "U" if "00100040" in model else "")
    identifier = (_text(model, "00100020"), "", "", _text(model, "00100021"))
    telephones: list[Value] = [(each,) for each in _text(model, "00102154").split("\\")]
    address = _text(model, "00101040")
    later = [address] if address else []
    return segment(
        "PID",
        *(
            "1",
            "",
            [identifier],
            "",
            list(names),
            "",
            f"{_text(model, '00100030')}{_text(model, '00100032')}"[:14],
            sex,
        ),
        *("", "", later, "", telephones),
    )


def _pv1(model: Mapping[str, Any]) -> Segment:
    """The class of a visit is none of a worklist's attributes: U, unknown."""
    fields = ["", "U", ("", "", "", "", "", "", "", "", _text(model, "00380300")), *[""] * 15, _text(model, "00380010")]
    return segment("PV1", *fields)


def _orc(model: Mapping[str, Any], status: Status, when: str) -> Segment:
    placer, filler = _numbers(model)
    return segment("ORC", "SC", placer, filler, "", status.order, "", "", "", when)


def _obr(model: Mapping[str, Any], status: Status, when: str) -> Segment:
    placer, filler = _numbers(model)
    step = _step(model)
    given: dict[int, Value | list[Value]] = {
        1: "1",
        2: placer,
        3: filler,
        4: _procedure(model),
        18: _text(model, "00080050"),
        19: _text(model, "00401001"),
        20: _text(step, "00400009"),
        22: when,
        24: _text(step, "00080060") or _text(model, "00080061").partition("\\")[0],
        25: status.result,
    }
    return segment("OBR", *(given.get(number, "") for number in range(1, 26)))


def _numbers(model: Mapping[str, Any]) -> tuple[Value, Value]:
    """Placer's and filler's order numbers with who assigned them; the accession number where there are none."""
    placer = _entity(_text(model, "00402016"), model, "00400026")
    filler = _entity(_text(model, "00402017") or _text(model, "00080050"), model, "00400027")
    return placer, filler


def _entity(number: str, model: Mapping[str, Any], authority: str) -> Value:
    """An EI."""
    item = _item(model, authority)
    return (number, *(_text(item, tag) for tag in ("00400031", "00400032", "00400033"))) if number else ""


def _procedure(model: Mapping[str, Any]) -> Value:
    """The procedure as a CE: requested, else as the study's description has it."""
    code = _item(model, "00321064")
    if code:
        value = _text(code, "00080100") or _text(code, "00080119")
        return (value, _text(code, "00080104"), _text(code, "00080102"))
    return ("", _text(model, "00321060") or _text(model, "00081030"))


def _ipc(model: Mapping[str, Any], study_uid: str) -> Segment:
    step = _step(model)
    station = _text(step, "00400001").partition("\\")[0]
    modality = _text(step, "00080060") or _text(model, "00080061").partition("\\")[0]
    accession = _entity(_text(model, "00080050"), model, "00080051")
    numbers = (accession, _text(model, "00401001"), study_uid, _text(step, "00400009"), (modality, "", "DCM"))
    return segment("IPC", *numbers, "", _text(step, "00400010").partition("\\")[0], "", station)


def _zds(study_uid: str) -> list[Segment]:
    """IHE RAD TF-2 4.4.4.1.2.2: the Study Instance UID as a reference pointer."""
    return [segment("ZDS", (study_uid, "ISOCENTER", "Application", "DICOM"))] if study_uid else []


def _observations(available: Study, when: str) -> Sequence[Segment]:
    found = [_obx(1, "HD", _STUDY, ("", available.uid, "ISO"), when)]
    for name, kind, code in _COUNTS:
        number = getattr(available, name)
        if number:
            found.append(_obx(len(found) + 1, kind, code, str(number), when))
    return found


def _obx(number: int, kind: str, code: tuple[str, str, str], value: Value, when: str) -> Segment:
    return segment("OBX", str(number), kind, code, "", value, "", "", "", "", "", "F", "", "", when)


# --- values


def _text(model: Mapping[str, Any], tag: str) -> str:
    attribute = model.get(tag)
    return text_of(attribute).strip(" \0") if attribute and attribute.get("vr") != "SQ" else ""


def _item(model: Mapping[str, Any], tag: str) -> Mapping[str, Any]:
    items: Sequence[Any] = model.get(tag, {}).get("Value", ())
    found: Mapping[str, Any] = items[0] if items and isinstance(items[0], dict) else {}
    return found


def _step(model: Mapping[str, Any]) -> Mapping[str, Any]:
    return _item(model, _STEPS)


def _names(model: Mapping[str, Any], tag: str) -> list[Value]:
    """A name as XPNs: a repetition for each way of writing it. PN has prefix before suffix, XPN after."""
    groups = {"Alphabetic": "A", "Ideographic": "I", "Phonetic": "P"}
    written_as: Mapping[str, str] = _item(model, tag)
    found: list[Value] = []
    for group, kind in groups.items():
        if text := written_as.get(group):
            family, given, middle, prefix, suffix = (*text.split("^", 4), "", "", "", "", "")[:5]
            found.append((family, given, middle, suffix, prefix, "", "L", kind))
    return found
