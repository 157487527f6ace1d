"""Tables of query keys: what an AE matches and returns as SCP, and what the commands ask for (C-GEN-09)."""

from collections.abc import Iterable, Iterator

from isocenter.config import HostedAE, Settings
from isocenter.config.offered import offers
from isocenter.conformance.facts import Entity
from isocenter.conformance.model import Paragraph, Row, Table
from isocenter.conformance.templates import table
from isocenter.declarations import non_patient, workitem, worklist
from isocenter.declarations.activities import RECONCILE, Activity
from isocenter.declarations.indexed_attributes import configured_keys
from isocenter.declarations.offers import OFFERINGS
from isocenter.declarations.query_keys import Key, Level, Match, keys_at, matching_of
from isocenter.declarations.reconciling import COMPARED, RETURNED, RETURNED_OF_STEP, STEPS
from isocenter.declarations.statuses import Service
from isocenter.declarations.worklist import Use
from isocenter.dicom import dictionary

_KINDS = (
    (Match.SINGLE, "single value"),
    (Match.LIST, "list of UIDs"),
    (Match.WILDCARD, "wildcard"),
    (Match.RANGE, "range"),
    (Match.SEQUENCE, "sequence"),
)


def key_tables(settings: Settings, entity: Entity, activity: Activity, number: str) -> list[Table | Paragraph]:
    """The keys of C-FIND by level; of C-MOVE and C-GET the unique keys."""
    if activity.dimse is Service.FIND:
        returned = table(
            "return-keys", f"Table {number}-6. Returned without being asked for", _RETURNED, ae=entity.title
        )
        return [*map(Paragraph, _WORDS), _find_keys(settings, entity, activity, number), returned]
    if activity.dimse is Service.WORKLIST:
        return [*map(Paragraph, _OF_WORKLISTS), _worklist_keys(entity, activity, number)]
    if activity.service == "workitem" and not activity.initiates:
        return [_workitem_keys(entity, activity, number)]
    if activity.dimse in (Service.MOVE, Service.GET):
        return [_retrieve_keys(entity, activity, number)]
    return []


_WORDS = (
    "Keys of the levels above the level of a query are matched and returned as well. Universal matching holds for "
    "every key; an attribute that is not listed is returned empty and not matched, and the responses say so with "
    "status FF01.",
    "In Study Root the attributes of the patient are keys of the study level. In Patient/Study Only there are the "
    "levels PATIENT and STUDY.",
    "Person names, and texts that people write, match without regard to case and accents, unless the AE is set to heed "
    "them; names match in all three component groups.",
)


_RETURNED = (
    ("QueryRetrieveLevel", "(0008,0052)", "the level of the query"),
    ("RetrieveAETitle", "(0008,0054)", "the title of this AE"),
    ("InstanceAvailability", "(0008,0056)", "ONLINE, unless the index says otherwise"),
    ("SpecificCharacterSet", "(0008,0005)", "where a value is more than ASCII"),
)


def _find_keys(settings: Settings, entity: Entity, activity: Activity, number: str) -> Table:
    further = configured_keys(settings.index.attributes)
    rows: list[Row] = []
    for level in Level:
        rows.append((f"{level.value} level",))
        rows += _rows(keys_at(level).values())
        rows += _rows(key for key in further if key.level is level)
    for model in non_patient.MODELS:
        if entity.ae is not None and offers(entity.ae, OFFERINGS[model.find]):
            rows.append((f"{model.title} information model, which has one level",))
            rows += _model_rows(model)
    title = f"Table {number}-5. Keys of C-FIND"
    return table("find-keys", title, rows, ae=entity.title, about=activity.name)


def _rows(keys: Iterable[Key]) -> Iterator[Row]:
    for key in keys:
        nested = "> " * (len(key.path) - 1)
        name = key.keyword.rpartition(".")[2]
        yield f"{key.level.value} / {nested}{name}", tags(key.path), key.vr, kinds_of(key)


def _model_rows(model: non_patient.Model) -> Iterator[Row]:
    for key in non_patient.keys_of(model.name).values():
        nested = "> " * (len(key.path) - 1)
        name = key.keyword.rpartition(".")[2]
        kinds = [text for flag, text in _KINDS if flag in key.matching]
        unique = ["unique key"] if key.path == non_patient.UNIQUE else []
        yield (
            f"{model.title} / {nested}{name}",
            tags(key.path),
            key.vr,
            "; ".join([*unique, *kinds, "universal", "returned"]),
        )


def tags(path: Iterable[int]) -> str:
    """The tags of a path as people write them, outermost first."""
    return " ".join(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" for tag in path)


def kinds_of(key: Key) -> str:
    """The kinds of matching and return of a key in words."""
    names = ["unique key"] if key.unique else []
    names += [name for flag, name in _KINDS if flag in key.matching]
    return "; ".join([*names, *(["universal"] if names else []), *(["returned"] if key.returned else ["not returned"])])


_OF_WORKLISTS = (
    "Universal matching holds for every key. Keys inside a sequence have to match in the same item; Scheduled "
    "Procedure Step Sequence has one. Study Instance UID is returned in any case, Specific Character Set where a value "
    "is more than ASCII.",
    "Person names, and texts that people write, match without regard to case and accents, unless the AE is set to heed "
    "them; names match in all three component groups.",
)
_USES = {
    Use.SINGLE: "single value; universal; returned",
    Use.RETURNED: "universal; returned",
    Use.EMPTY: "universal; returned empty",
}


def _worklist_keys(entity: Entity, activity: Activity, number: str) -> Table:
    assert entity.ae is not None, "the commands answer no queries"
    key_set = entity.ae.worklist.keys
    rows = [
        (f"{'> ' * (len(key.path) - 1)}{key.keyword.rpartition('.')[2]}", tags(key.path), key.vr, _used(key, key_set))
        for key in worklist.keys().values()
        if key.uses[key_set] is not Use.UNKNOWN
    ]
    return table("find-keys", f"Table {number}-5. Keys of C-FIND", rows, ae=entity.title, about=activity.name)


def _used(key: worklist.Key, key_set: str) -> str:
    use = key.uses[key_set]
    if use in _USES:
        return _USES[use]
    kinds = [text for flag, text in _KINDS if flag in key.matching]
    return "; ".join([*kinds, "universal", "returned empty" if use is Use.MATCHED_ONLY else "returned"])


def _workitem_keys(entity: Entity, activity: Activity, number: str) -> Table:
    rows = [
        (f"{'> ' * (len(path) - 1)}{row.keyword.rpartition('.')[2]}", tags(path), row.vr, _matched(row.vr))
        for path, row in workitem.attributes().items()
        if row.returned != "-"
    ]
    return table("find-keys", f"Table {number}-5. Keys of C-FIND", rows, ae=entity.title, about=activity.name)


def _matched(vr: str) -> str:
    kinds = [text for flag, text in _KINDS if flag in matching_of(vr)]
    return "; ".join([*kinds, "universal", "returned"])


_FRAME_KEYS = (
    ("SimpleFrameList", "(0008,1161)", "Composite Instance Root at level FRAME: the numbers of frames"),
    ("CalculatedFrameList", "(0008,1162)", "Composite Instance Root at level FRAME: ranges with an increment"),
    ("TimeRange", "(0008,1163)", "Composite Instance Root at level FRAME: from and to, in seconds"),
)
_ALONE = "information models of instances that belong to no patient: list of UIDs, the only key"
_UNIQUELY = "unique key of level {}: single value; below PATIENT also list of UIDs"
_UNIQUE = (
    (Level.PATIENT, 0x00100020),
    (Level.STUDY, 0x0020000D),
    (Level.SERIES, 0x0020000E),
    (Level.IMAGE, 0x00080018),
)


def _retrieve_keys(entity: Entity, activity: Activity, number: str) -> Table:
    rows = [
        ("QueryRetrieveLevel", tags((0x00080052,)), "the level, down to which unique keys are given"),
        *((dictionary.keyword_of(tag) or "", tags((tag,)), _UNIQUELY.format(level.value)) for level, tag in _UNIQUE),
        ("Every key of C-FIND", "as listed there", "matching key: what C-FIND would answer is retrieved"),
        *_FRAME_KEYS,
        ("SOPInstanceUID", tags(non_patient.UNIQUE), _ALONE),
    ]
    title = f"Table {number}-5. Keys of {activity.dimse.command if activity.dimse else ''}"
    return table("move-request", title, rows, ae=entity.title, about=activity.name)


def asked_tables(entity: Entity, activity: Activity, number: str) -> list[Table | Paragraph]:
    """What the commands may ask a peer."""
    finding, retrieving = "find-request", "move-request"
    kind = {Service.FIND: finding, Service.WORKLIST: finding, Service.MOVE: retrieving, Service.GET: retrieving}
    if activity.dimse not in kind:
        return []
    if entity.ae is not None:
        return [_reconciling_keys(entity, entity.ae, activity, number)] if activity is RECONCILE else []
    level = ("QueryRetrieveLevel", tags((0x00080052,)), "the level that the command names")
    rows = [
        *(() if activity.dimse is Service.WORKLIST else (level,)),
        ("Any attribute", "any", "whatever the command gives; an attribute without a value is asked to be returned"),
        ("SpecificCharacterSet", tags((0x00080005,)), "ISO_IR 192 where the keys are more than ASCII"),
    ]
    assert activity.dimse is not None
    title = f"Table {number}-5. Request identifier of {activity.dimse.command}"
    return [table(kind[activity.dimse], title, rows, ae=entity.title, about=activity.name)]


def _reconciling_keys(entity: Entity, ae: HostedAE, activity: Activity, number: str) -> Table:
    """What a study asks a worklist for: its own values of what is set, and all that it may take over."""
    settings = ae.reconciling
    matched = [*settings.match, *(["ScheduledProcedureStepStartDate"] if settings.days else [])]
    named = {(STEPS, COMPARED[k].tag) if COMPARED[k].step else (COMPARED[k].tag,): k for k in matched}
    listed = [(tag,) for tag in RETURNED] + [(STEPS, tag) for tag in RETURNED_OF_STEP]
    rows = []
    for path in dict.fromkeys([*named, *listed]):
        path_tags = tuple(int(tag, 16) for tag in path)
        what = "the study's value, where it has one" if path in named else "asked to be returned"
        rows.append((dictionary.keyword_of(path_tags[-1]) or "", tags(path_tags), what))
    title = f"Table {number}-5. Request identifier of {activity.name}"
    return table("find-request", title, rows, ae=entity.title, about=activity.name)
