"""Which worklist items a performed procedure step belongs to, and what that does to both (X-RIS-31, X-RIS-37, -40).

A step names orders in the items of Scheduled Step Attributes Sequence: one in the simple case, several where steps were
grouped, the same again where a step is appended, none where nothing was scheduled.
"""

import copy
import secrets
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from isocenter.config.steps import ProcedureSteps
from isocenter.declarations.procedure_step import COERCED, COMPLETED, DISCONTINUED, IN_PROGRESS, Path
from isocenter.dicom.dictionary import vr_of
from isocenter.index.tables import patient
from isocenter.workflow.patients import registered
from isocenter.workflow.steps import attributes as of
from isocenter.workflow.steps.attributes import Model, Scheduled
from isocenter.workflow.worklist.attributes import (
    ACCESSION,
    ISSUER,
    MODALITY,
    PATIENT_ID,
    PROCEDURE,
    START_DATE,
    START_TIME,
    STATIONS,
    STEPS,
    STUDY,
    written,
)
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry
from isocenter.workflow.worklist.states import State

MATCHED, UNSCHEDULED, ORDERED, UNMATCHED = "matched", "unscheduled", "ordered", "unmatched"
_PATIENT: Final = (PATIENT_ID, ISSUER, "00100010", "00100030", "00100040")
_SETTLED: Final = frozenset({State.COMPLETED, State.CANCELLED})
_NUMBER_DIGITS: Final = 11


class Links(NamedTuple):
    """How a step belongs to the worklist."""

    matching: str
    entries: tuple[Entry | None, ...]
    """For each item of Scheduled Step Attributes Sequence, the worklist item that it is."""
    comment: str = ""
    """Why one has none."""

    @property
    def found(self) -> list[Entry]:
        """The worklist items, each once."""
        return list({entry.id: entry for entry in self.entries if entry is not None}.values())


class Linking:
    """Matches against one worklist."""

    def __init__(self, worklist: Worklist) -> None:
        self._worklist = worklist

    def links(self, connection: Connection, model: Model, identity: str) -> Links:
        """What the items of a step are: each must name a worklist item of the step's own patient."""
        items = of.scheduled(model)
        entries, comment = [], ""
        for each in items:
            entry = self._candidate(connection, each)
            if entry is not None and not _same_patient(entry.identity, identity):
                entry, comment = None, "the worklist item is another patient's"
            elif entry is None and each.refers:
                comment = comment or "no worklist item has these identifiers"
            entries.append(entry)
        if not any(entries) and not any(each.refers for each in items) and not comment:
            return Links(UNSCHEDULED, tuple(entries))
        return Links(UNMATCHED if comment else MATCHED, tuple(entries), comment)

    def candidates(self, connection: Connection, model: Model) -> list[Entry]:
        """The worklist items that a person may mean for a step: of its patient, accession number or study."""
        patient_id = of.text(model, PATIENT_ID)
        found = self._worklist.referenced(connection, patient_id=patient_id) if patient_id else []
        for each in of.scheduled(model):
            for name, value in (("accession", each.accession), ("study_uid", each.study_uid)):
                found += self._worklist.referenced(connection, **{name: value}) if value else []
        return list({entry.id: entry for entry in found}.values())

    def _candidate(self, connection: Connection, item: Scheduled) -> Entry | None:
        """The item with this Accession Number, else of this study, else with these ids; of several the one that all
        else fits best."""
        found = self._named(connection, item)
        for wanted, tag_of in (
            (item.scheduled_id, _step_id),
            (item.procedure_id, _procedure),
            (item.study_uid, _study),
        ):
            narrowed = [entry for entry in found if wanted and tag_of(entry) == wanted]
            found = narrowed or found
        undone = [entry for entry in found if entry.state not in _SETTLED]
        return next(iter(undone or found), None)

    def _named(self, connection: Connection, item: Scheduled) -> list[Entry]:
        if item.accession:
            return self._worklist.referenced(connection, accession=item.accession)
        if item.study_uid and (found := self._worklist.referenced(connection, study_uid=item.study_uid)):
            return found
        if item.scheduled_id or item.procedure_id:
            return self._worklist.referenced(
                connection, step_id=item.scheduled_id, requested_procedure_id=item.procedure_id
            )
        return []

    # --- what it does to the worklist

    def tell(self, connection: Connection, entries: Sequence[Entry], state: str, wanted: ProcedureSteps) -> None:
        """Bring worklist items into the state that `wanted` gives for that of the step (X-RIS-34). What is completed
        stays so where another step is appended to it, or one of several is discontinued."""
        name = {IN_PROGRESS: wanted.started, COMPLETED: wanted.completed, DISCONTINUED: wanted.discontinued}[state]
        if name:
            ids = [entry.id for entry in entries if state == COMPLETED or entry.state not in _SETTLED]
            self._worklist.set_state(connection, ids, State(name))

    def take_studies(self, connection: Connection, links: Links, items: Sequence[Scheduled]) -> None:
        """Give the worklist items the studies that the step says it is of."""
        for entry, item in zip(links.entries, items, strict=False):
            if entry is not None and item.study_uid and item.study_uid != entry.study_uid:
                self._worklist.put(connection, entry.order_key, {**entry.model, **written(STUDY, item.study_uid)})

    def ordered(self, connection: Connection, sop_uid: str, model: Model, wanted: ProcedureSteps) -> Entry | None:
        """Order a procedure for a step without one (X-RIS-41, -42); None where that is not set up, the patient is not
        known, or no procedure is."""
        code = _procedure_code(model, wanted.trauma_procedure)
        items = of.scheduled(model)
        if not wanted.trauma or code is None or any(each.accession or each.procedure_id for each in items):
            return None
        identity = of.identity_of(model)
        if not identity or not (_in_range(model, wanted) or self._known(connection, identity)):
            return None
        return self._worklist.put(connection, f"mpps\\{sop_uid}", _order(model, code), source="mpps")

    def _known(self, connection: Connection, identity: str) -> bool:
        if registered.of(connection, identity) is not None or self._worklist.of_patient(connection, identity):
            return True
        return connection.execute(select(patient.c.id).where(patient.c.identity == identity)).first() is not None


def _step_id(entry: Entry) -> str:
    return entry.step_id


def _procedure(entry: Entry) -> str:
    return of.text(entry.model, PROCEDURE)


def _study(entry: Entry) -> str:
    return entry.study_uid


def _same_patient(scheduled: str, performed: str) -> bool:
    """Whether two identities are one patient: the same id, and issuers that agree as far as both are named."""
    if scheduled == performed or not performed:
        return True
    (one, _, own_id), (other, _, other_id) = scheduled.partition("\\"), performed.partition("\\")
    return own_id == other_id and (not one or not other)


def _in_range(model: Model, wanted: ProcedureSteps) -> bool:
    """Whether the Patient ID is one that registration never gives: between two of its own length."""
    if len(wanted.trauma_patients) != 2:
        return False
    first, last = wanted.trauma_patients
    patient_id = of.text(model, PATIENT_ID)
    return len(first) == len(patient_id) == len(last) and first <= patient_id <= last


def _procedure_code(model: Model, default: str) -> Model | None:
    codes = of.items(model, of.PROCEDURE_CODES)
    if codes:
        return codes[0]
    if not default:
        return None
    value, scheme, meaning = default.split("^")
    return {**written("00080100", value), **written("00080102", scheme), **written("00080104", meaning)}


def _order(model: Model, code: Model) -> Model:
    """A worklist item for what is being performed."""
    number = f"T{str(secrets.randbelow(10**_NUMBER_DIGITS)).zfill(_NUMBER_DIGITS)}"
    meaning = of.text(code, "00080104")
    scheduled = {
        **written(MODALITY, of.text(model, MODALITY)),
        **written(STATIONS, of.text(model, of.STATION)),
        **written(START_DATE, of.text(model, "00400244")),
        **written(START_TIME, of.text(model, "00400245")),
        **written("00400007", of.text(model, "00400254") or meaning),
    }
    study = next((each.study_uid for each in of.scheduled(model) if each.study_uid), "")
    return {
        **{tag: model[tag] for tag in _PATIENT if tag in model},
        **written(STUDY, study),
        **written(ACCESSION, number),
        **written(PROCEDURE, number),
        **written("00321060", meaning),
        "00321064": {"vr": "SQ", "Value": [code]},
        STEPS: {"vr": "SQ", "Value": [scheduled]},
    }


# --- coercion


def coerced(model: Model, links: Sequence[Entry | None], *, corrected: bool = False) -> tuple[Model, frozenset[int]]:
    """`model` with the worklist's values where they differ (X-RIS-37), and the top-level tags that were changed.
    `corrected`: a person has said that the worklist is right, so also about Patient ID and Accession Number."""
    made = copy.deepcopy(model)
    items = of.items(made, of.ITEMS)
    tags: set[int] = set()
    for rule in COERCED:
        if rule.corrected and not corrected:
            continue
        for n, entry in enumerate(links):
            if entry is None:
                continue
            value = _at(entry.model, rule.source)
            inside = len(rule.path) == 2
            holder = items[n] if inside and n < len(items) else made if not inside else None
            if holder is not None and _takes(holder, rule.path[-1], value):
                tags.add(rule.path[0])
    return made, frozenset(tags)


def _takes(holder: Model, tag: int, value: Any) -> bool:
    """Give an attribute the worklist's value, if that has one. The retired order numbers only where they are used."""
    name = f"{tag:08X}"
    if value is None or holder.get(name) == value or (tag in (0x00402006, 0x00402007) and name not in holder):
        return False
    holder[name] = {**value, "vr": vr_of(tag)}
    return True


def _at(model: Model, path: Path) -> Any:
    holder = model
    for tag in path[:-1]:
        holder = next(iter(of.items(holder, f"{tag:08X}")), {})
    attribute = holder.get(f"{path[-1]:08X}")
    return attribute if attribute and attribute.get("Value") else None
