"""`isocenter mpps create|set|get`: a modality's part towards any MPPS SCP (PS3.4 F.7, F.8)."""

import json
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import typer

from isocenter.cli.ending import Exit, say
from isocenter.cli.identifiers import tag_path
from isocenter.cli.peering import Target
from isocenter.declarations.offers import PROPOSED_SYNTAXES
from isocenter.declarations.procedure_step import ATTRIBUTES, FINAL, IN_PROGRESS, MEANINGS, accepted
from isocenter.dicom import dataset, json_model, part10
from isocenter.dicom.dataset import DataSet, Element
from isocenter.dicom.dictionary import tag_of, vr_of
from isocenter.dicom.elements import MalformedDataSet
from isocenter.dicom.headers import NeedMore
from isocenter.dicom.json_reading import element_of
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from isocenter.dicom.uids import MODALITY_PERFORMED_PROCEDURE_STEP_RETRIEVE as RETRIEVE
from isocenter.dicom.uids import new_uid
from isocenter.dimse import ClientAssociation, ProposedContext, Response, commands
from isocenter.errors import ConfigurationError

_UTF_8: Final = "ISO_IR 192"
_CHARACTER_SET: Final = 0x00080005
_STATUS, _END_DATE, _END_TIME = 0x00400252, 0x00400250, 0x00400251
_BEGUN: Final = {"PerformedProcedureStepStartDate": "%Y%m%d", "PerformedProcedureStepStartTime": "%H%M%S"}
_ITEMS, _STUDY = 0x00400270, 0x0020000D
_LARGEST: Final = 16 << 20


class Given(NamedTuple):
    """The attributes that were given: in a file, and one by one."""

    file: Path | None
    keys: tuple[str, ...]
    bare: bool
    """Nothing is added to them."""

    def data_set(self) -> DataSet:
        """All of them; what is given one by one counts. Raises ConfigurationError."""
        found = _of_file(self.file) if self.file is not None else {}
        for written in self.keys:
            name, _, value = written.partition("=")
            _put(found, tag_path(name), value)
        return found


def create(target: Target, uid: str, given: Given, *, as_json: bool) -> Exit:
    """`mpps create`."""
    attributes = given.data_set()
    if not given.bare:
        attributes = _completed(attributes, target.calling)
    with target.connect([ProposedContext(MPPS, PROPOSED_SYNTAXES)]) as association:
        context = association.context_for(MPPS)
        data = dataset.encode(_declared(attributes), context.transfer_syntax)
        named = uid or ("" if given.bare else new_uid())
        response = association.n_create(MPPS, named, data, context=context)
    made = commands.text(response.command, commands.AFFECTED_SOP_INSTANCE) or named
    return _told(target, response, made, as_json=as_json)


def change(target: Target, uid: str, status: str, given: Given, *, as_json: bool) -> Exit:
    """`mpps set`."""
    attributes, state = given.data_set(), status.strip().upper()
    if state:
        attributes[_STATUS] = dataset.text("CS", state)
    if state in FINAL and not given.bare:
        for tag, form in ((_END_DATE, "%Y%m%d"), (_END_TIME, "%H%M%S")):
            attributes.setdefault(tag, dataset.text(vr_of(tag), time.strftime(form)))
    if not attributes:
        raise ConfigurationError("nothing is given to be set: --status, --file or --key")
    with target.connect([ProposedContext(MPPS, PROPOSED_SYNTAXES)]) as association:
        context = association.context_for(MPPS)
        data = dataset.encode(_declared(attributes), context.transfer_syntax)
        response = association.n_set(MPPS, uid, data, context=context)
    return _told(target, response, uid, as_json=as_json)


def get(target: Target, uid: str, keys: tuple[str, ...], *, as_json: bool) -> Exit:
    """`mpps get`: what the peer knows, as DICOM JSON."""
    wanted = [tag_path(name)[0] for name in keys]
    with target.connect([ProposedContext(RETRIEVE, PROPOSED_SYNTAXES)]) as association:
        response, syntax = _asked(association, uid, wanted)
    if not accepted(response.status):
        return _told(target, response, uid, as_json=as_json)
    if response.status:
        say(f"{response.status:04X} {MEANINGS.get(response.status, '')}")
    model = json.loads(json_model.write(response.data or b"", syntax, bulk_uri=None))
    typer.echo(json.dumps(model, ensure_ascii=False, indent=None if as_json else 2))
    return Exit.OK


def _asked(association: ClientAssociation, uid: str, wanted: list[int]) -> tuple[Response, str]:
    context = association.context_for(RETRIEVE)
    # the character set is needed to read the rest (F.8.2.1.2)
    tags = sorted({*wanted, _CHARACTER_SET}) if wanted else None
    return association.n_get(RETRIEVE, uid, tags, context=context), context.transfer_syntax


def _completed(given: DataSet, station: str) -> DataSet:
    """With all that an N-CREATE needs: what must have a value gets one, the rest is there without (Table F.7.2-1)."""
    found = dict(given)
    for rule in ATTRIBUTES:
        if len(rule.path) == 1 and rule.create in ("1", "2") and rule.path[0] not in found:
            vr = vr_of(rule.path[0])
            found[rule.path[0]] = dataset.sequence() if vr == "SQ" else Element(vr, b"")
    values = {
        "PerformedProcedureStepStatus": IN_PROGRESS,
        "PerformedProcedureStepID": time.strftime("PPS%y%m%d%H%M%S")[:16],
        "PerformedStationAETitle": station,
        "Modality": "OT",
        **{name: time.strftime(form) for name, form in _BEGUN.items()},
    }
    for name, value in values.items():
        tag = tag_of(name)
        assert tag is not None
        if not dataset.bytes_of(found, tag):
            found[tag] = dataset.text(vr_of(tag), value)
    items = dataset.items_of(found, _ITEMS) or ({},)
    found[_ITEMS] = dataset.sequence(*map(_completed_item, items))
    return found


def _completed_item(item: DataSet) -> DataSet:
    found = dict(item)
    for rule in ATTRIBUTES:
        if len(rule.path) == 2 and rule.path[0] == _ITEMS and rule.create in ("1", "2"):
            vr = vr_of(rule.path[1])
            found.setdefault(rule.path[1], dataset.sequence() if vr == "SQ" else Element(vr, b""))
    if not dataset.bytes_of(found, _STUDY):
        found[_STUDY] = dataset.uid(new_uid())
    return found


def _declared(attributes: DataSet) -> DataSet:
    """With the character set that they are written in."""
    return {_CHARACTER_SET: dataset.text("CS", _UTF_8), **attributes}


def _put(holder: DataSet, path: tuple[int, ...], value: str) -> None:
    tag, *rest = path
    if not rest:
        vr = vr_of(tag)
        whole = {"vr": vr, "Value": [int(value)]} if vr in ("US", "UL", "SS", "SL") and value.isdigit() else None
        empty = dataset.sequence() if vr == "SQ" else dataset.text(vr if vr != "UN" else "LO", value, _UTF_8)
        holder[tag] = element_of(whole) if whole is not None else empty
        return
    items = dataset.items_of(holder, tag)
    first: DataSet = dict(items[0]) if items else {}
    _put(first, tuple(rest), value)
    holder[tag] = dataset.sequence(first, *items[1:])


def _of_file(path: Path) -> DataSet:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--file: {path} can't be read") from error
    if len(raw) > _LARGEST:
        raise ConfigurationError(f"--file: {path} is too large for a procedure step")
    found = _of_json(raw, path) if raw.lstrip()[:1] in (b"{", b"[") else _of_dicom(raw, path)
    return {tag: element for tag, element in found.items() if tag >> 16 > 0x0002 and tag != _CHARACTER_SET}


def _of_json(raw: bytes, path: Path) -> DataSet:
    try:
        told: Any = json.loads(raw)
        model = told[0] if isinstance(told, list) and len(told) == 1 else told
        return {int(tag, 16): element_of(attribute, _UTF_8) for tag, attribute in model.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigurationError(f"--file: {path} is no DICOM JSON object") from error


def _of_dicom(raw: bytes, path: Path) -> DataSet:
    """A DICOM file's data set, its text in UTF-8."""
    try:
        header = part10.read_header(raw, whole=True)
        model = json.loads(json_model.write(raw[header.offset :], header.syntax, bulk_uri=None))
    except (MalformedDataSet, NeedMore) as error:
        raise ConfigurationError(f"--file: {path} is neither DICOM JSON nor a DICOM file") from error
    return {int(tag, 16): element_of(attribute, _UTF_8) for tag, attribute in model.items()}


def _told(target: Target, response: Response, uid: str, *, as_json: bool) -> Exit:
    done = accepted(response.status)
    tags = [f"{tag:08X}" for tag in commands.tags(response.command)]
    error_id = commands.number(response.command, commands.ERROR_ID)
    if as_json:
        facts = {"uid": uid, "status": f"{response.status:04X}", "comment": response.comment, "attributes": tags}
        typer.echo(json.dumps({**facts, "error_id": f"{error_id:04X}" if error_id else ""}))
    elif done:
        typer.echo(uid)
    if response.status and not as_json:
        meaning = MEANINGS.get(response.status, "status")
        more = " ".join(filter(None, (response.comment, f"Error ID {error_id:04X}" if error_id else "", *tags)))
        say(f"{target}: {meaning} {response.status:04X} {more}".rstrip())
    return Exit.OK if done else Exit.SOME_FAILED
