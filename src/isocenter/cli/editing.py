"""`isocenter edit` and its like: corrections after receipt, rejection, and what was done.

They go through the index writer of the running server, or through one of their own where no server runs.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import typer

from isocenter.archive.edits.checks import Target, identity
from isocenter.archive.edits.history import conflicts, history
from isocenter.archive.edits.making import Edited, Edits, Who
from isocenter.archive.rejection.rejecting import Rejected, Rejecting
from isocenter.cli import patients
from isocenter.cli.doing import How
from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import opened
from isocenter.declarations.query_keys import resolve
from isocenter.declarations.rejections import BY_NAME
from isocenter.dicom import uids
from isocenter.dicom.dictionary import entry_of, keyword_of, vr_of
from isocenter.dicom.person_name import GROUPS
from isocenter.errors import ConfigurationError
from isocenter.server.beside import archive_beside

_WHOLE = frozenset({"LT", "ST", "UT", "UR"})
_NUMBERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV"})
_REALS = frozenset({"FL", "FD"})


# --- edits


def _who(how: How) -> Who:
    return Who(how.user, how.why)


@contextmanager
def _edits(how: How) -> Iterator[Edits]:
    with archive_beside(how.settings()) as archive:
        yield Edits(archive.database, archive.store, archive.writer, dry_run=how.dry_run)


def edit(target: Callable[[], Target], words: Sequence[str], removed: Sequence[str], how: How) -> Exit:
    """`edit patient`, `edit study`, `edit series`."""
    changes = changes_of(words, removed)
    with _edits(how) as edits:
        return _tell(edits.attributes(target(), changes, _who(how)), how)


def revert(uid: str, how: How) -> Exit:
    """`edit revert`; an edit that a message about a patient made is taken back with all that the message did."""
    with archive_beside(how.settings()) as archive:
        if not how.dry_run and patients.undone_with(archive, uid, _who(how)):
            return Exit.OK
        edits = Edits(archive.database, archive.store, archive.writer, dry_run=how.dry_run)
        return _tell(edits.revert(uid, _who(how)), how)


def merge(prior: tuple[str, str], into: tuple[str, str], how: How) -> Exit:
    """`merge-patients`: (Patient ID, issuer) of both."""
    with _edits(how) as edits:
        return _tell(edits.merge_patients(identity(*prior), identity(*into), _who(how)), how)


def move(study: str, patient: tuple[str, str], words: Sequence[str], how: How) -> Exit:
    """`move-study`."""
    patient_id, issuer = patient
    named = [f"PatientID={patient_id}", *([f"IssuerOfPatientID={issuer}"] if issuer else []), *words]
    with _edits(how) as edits:
        return _tell(edits.move_study(study, changes_of(named, ()), _who(how)), how)


def split(study: str, series: str, to: str, how: How) -> Exit:
    """`split-series`; without `to` a study of a new UID."""
    target = to or uids.new_uid()
    if not uids.is_regular(target):
        raise ConfigurationError(f"{target!r} is no UID")
    with _edits(how) as edits:
        return _tell(edits.split_series(study, series, target, _who(how)), how)


def changes_of(words: Sequence[str], removed: Sequence[str]) -> dict[str, Any]:
    """KEYWORD=VALUE words and keywords to take out, as an edit has them. Raises ConfigurationError."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ConfigurationError(f"{word!r} is not KEYWORD=VALUE")
        found[f"{_tag(name):08X}"] = _attribute(name, _tag(name), value)
    found |= {f"{_tag(name):08X}": None for name in removed}
    return found


def _tag(name: str) -> int:
    path = resolve(name)
    if path is None or len(path) > 1:
        raise ConfigurationError(f"{name!r} is neither a keyword nor a tag of eight hexadecimal digits")
    return path[0]


def _attribute(name: str, tag: int, text: str) -> dict[str, Any]:
    vr = vr_of(tag)
    if entry_of(tag) is None or vr == "SQ" or vr.startswith("O") or vr == "UN":
        raise ConfigurationError(f"{name} can't be given on the command line")
    if not text:
        return {"vr": vr}
    values = [text] if vr in _WHOLE else text.split("\\")
    try:
        return {"vr": vr, "Value": [_value(vr, value) for value in values]}
    except ValueError as fault:
        raise ConfigurationError(f"{name}: {text!r} is no number") from fault


def _value(vr: str, text: str) -> Any:
    if vr == "PN":
        return {group: part for group, part in zip(GROUPS, text.split("=", 2), strict=False) if part}
    return int(text) if vr in _NUMBERS else float(text) if vr in _REALS else text


def _tell(edited: Edited, how: How) -> Exit:
    if how.json:
        facts = {"edit": edited.uid, "kind": edited.kind, "objects": edited.objects, "dry_run": how.dry_run}
        typer.echo(json.dumps({**facts, "old": edited.old, "new": edited.new}, ensure_ascii=False))
        return Exit.OK
    what = "would concern" if how.dry_run else "concerns"
    typer.echo(f"{edited.kind} {edited.uid or '(not made)'}: {what} {edited.objects} objects")
    for tag, value in edited.new.get("changes", {}).items():
        typer.echo(f"  {keyword_of(int(tag, 16)) or tag} = {_shown(value)}")
    return Exit.OK


def _shown(attribute: Mapping[str, Any] | None) -> str:
    if attribute is None:
        return "(taken out)"
    values = attribute.get("Value", [])
    return "\\".join("=".join(v.values()) if isinstance(v, dict) else str(v) for v in values) or "(empty)"


# --- rejection


def reject(names: Sequence[str], reason: str, modifier: str, how: How) -> Exit:
    """`reject study`, `reject series`, `reject instance`: UIDs from the study down."""
    title = BY_NAME.get(reason)
    if title is None:
        raise ConfigurationError(f"--reason is one of {', '.join(BY_NAME)}")
    study, series, sop = (*names, "", "")[:3]
    with archive_beside(how.settings()) as archive:
        ae = how.settings().aes[0].title
        rejecting = Rejecting(archive.database, archive.ingest, ae, dry_run=how.dry_run)
        made = rejecting.reject(title, study, series, sop, _who(how), modifier=modifier)
    return _tell_rejected(made, title.meaning, how)


def _tell_rejected(made: Rejected, meaning: str, how: How) -> Exit:
    if how.json:
        facts = {"note": made.note_uid, "title": meaning, "objects": made.instances, "dry_run": how.dry_run}
        typer.echo(json.dumps(facts))
    else:
        typer.echo(f"{meaning}: {made.instances} objects, note {made.note_uid or '(not made)'}")
    return Exit.OK


def unreject(names: Sequence[str], how: How) -> Exit:
    """`unreject`."""
    study, series, sop = (*names, "", "")[:3]
    with _edits(how) as edits:
        edited = edits.unreject(study, series, sop, _who(how))
    _tell(edited, how)
    return Exit.OK if edited.objects or how.dry_run else Exit.SOME_FAILED


# --- what was done, what is open


def audit(limit: int, how: How) -> Exit:
    """`audit list`."""
    with opened(how.settings()) as index:
        entries = history(index, limit=limit)
    if how.json:
        facts = [{**entry._asdict(), "at": _time(entry.at)} for entry in entries]
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return Exit.OK
    for entry in entries:
        told = entry.detail
        name = told.get("uid") or told.get("note") or ""
        typer.echo(f"{_time(entry.at)}  {entry.actor}  {entry.event}  {name}  {told.get('reason', '')}".rstrip())
    say(f"{len(entries)} entries")
    return Exit.OK


def list_conflicts(how: How, *, settled: bool) -> Exit:
    """`conflict list`."""
    with opened(how.settings()) as index:
        found = list(conflicts(index, all_of_them=settled))
    if how.json:
        typer.echo(json.dumps([{**one, "opened_at": _time(one["opened_at"])} for one in found]))
        return Exit.OK
    for one in found:
        names = "  ".join(one[name] for name in ("study_uid", "series_uid", "sop_uid") if one[name])
        typer.echo(f"{one['id']}  {_time(one['opened_at'])}  {one['kind']}  {names}")
    say(f"{len(found)} {'in all' if settled else 'open'}")
    return Exit.OK


def settle(number: int, how: How) -> Exit:
    """`conflict settle`."""
    with opened(how.settings()) as index:
        named = next((one for one in conflicts(index) if one["id"] == number), None)
    if named is None:
        raise ConfigurationError(f"there is no open conflict {number}")
    fields = {name: str(named[name]) for name in ("kind", "study_uid", "series_uid", "sop_uid", "store_key")}
    with _edits(how) as edits:
        return _tell(edits.settle(fields, _who(how)), how)


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="seconds")
