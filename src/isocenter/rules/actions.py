"""Actions of rules, made into functions once."""

import csv
import hashlib
import hmac
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path as FilePath
from typing import Final, TypeAlias

from isocenter.config.coercion import Action
from isocenter.dicom.dataset import Element
from isocenter.dicom.uids import is_regular
from isocenter.rules import paths
from isocenter.rules.paths import Path, Step
from isocenter.rules.patterns import replacer
from isocenter.rules.values import MOST, element_of, is_text, texts_of, writable
from isocenter.rules.view import View, vr_at

Act: TypeAlias = Callable[[View], None]
_KINDS: Final = ("set", "delete", "copy", "replace", "map", "hash", "private")
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "set": frozenset({"value", "vr"}),
    "delete": frozenset(),
    "copy": frozenset({"source", "vr"}),
    "replace": frozenset({"pattern", "by"}),
    "map": frozenset({"table", "file", "otherwise"}),
    "hash": frozenset({"key"}),
    "private": frozenset({"creator", "element", "vr", "value"}),
}
"""What each kind of action may be told beside its attribute."""
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "set": ("value",),
    "copy": ("source",),
    "replace": ("pattern", "by"),
    "hash": ("key",),
    "private": ("creator", "element", "vr", "value"),
}
_WRITTEN: Final = {"source": "from"}
_BIGGEST_TABLE: Final = 16 << 20
_GROUP: Final = re.compile(r"[0-9A-Fa-f]{4}")
_LONGEST_HASH: Final = 64
_SOP_CLASS: Final = 0x00080016
IDENTITY: Final = frozenset([_SOP_CLASS, 0x00080018, 0x0020000D, 0x0020000E])
"""SOP Class, SOP Instance, Study and Series Instance UID."""
_HIDING: Final = frozenset({"delete", "hash"})


def kind_of(action: Action) -> str:
    """Which of the kinds an action is. Raises ValueError unless it is exactly one."""
    given = [name for name in _KINDS if getattr(action, name) is not None]
    if len(given) != 1:
        raise ValueError(f"one of {', '.join(_KINDS)} is needed, and no other")
    return given[0]


def hides(action: Action) -> bool:
    """Whether the action is there to keep something from being seen."""
    return kind_of(action) in _HIDING


def compiled(action: Action, folder: FilePath) -> tuple[Act, frozenset[int]]:
    """The function that an action is, and the tags of the top level that it touches. Raises ValueError."""
    kind = kind_of(action)
    _check_keys(action, kind)
    if kind == "private":
        return _private(action), frozenset(int(action.private or "", 16) << 16 | n for n in range(0x10, 0x100))
    named = getattr(action, kind)
    try:
        path = paths.parse(named)
        _check_identity(path, kind)
        act, further = _made(kind, action, path, folder)
    except ValueError as error:
        raise ValueError(f"{kind} {named}: {error}") from error
    return act, frozenset([path.top, *further])


def _check_identity(path: Path, kind: str) -> None:
    """Without its UIDs an object can't be kept or sent, and of another class it is another object."""
    if len(path.steps) == 1 and (path.top == _SOP_CLASS or (kind == "delete" and path.top in IDENTITY)):
        raise ValueError("what identifies the object can't be changed so")


def _check_keys(action: Action, kind: str) -> None:
    for name in ("value", "vr", "source", "pattern", "by", "table", "file", "otherwise", "key", "creator", "element"):
        given = getattr(action, name) not in (None, "") or (name == "value" and action.value == "")
        if given and name not in _KEYS[kind]:
            raise ValueError(f"{kind} has no {_WRITTEN.get(name, name)!r}")
    for name in _NEEDED.get(kind, ()):
        if getattr(action, name) is None or (name in ("key", "creator", "vr") and not getattr(action, name)):
            raise ValueError(f"{kind} needs {_WRITTEN.get(name, name)!r}")


def _made(kind: str, action: Action, path: Path, folder: FilePath) -> tuple[Act, tuple[int, ...]]:
    if kind == "set":
        return _set(path, _writable_vr(path, action.vr), action.value or ""), ()
    if kind == "delete":
        return (lambda view: view.remove(path)), ()
    if kind == "copy":
        source = paths.parse(action.source or "")
        return _copy(path, source, vr_at(path, action.vr)), (source.top,)
    if kind == "replace":
        return _each_text(path, replacer(action.pattern or "", action.by or "")), ()
    if kind == "map":
        return _each_text(path, _lookup(action, folder, path)), ()
    return _hash(path, action.key.encode("utf-8")), ()


def _writable_vr(path: Path, given: str) -> str:
    vr = vr_at(path, given)
    if not writable(vr):
        raise ValueError(f"give its vr; {vr} can't be written as text" if vr == "UN" else f"VR {vr} can't be written")
    return vr


def _set(path: Path, vr: str, value: str) -> Act:
    values = tuple(value.split("\\")) if vr not in ("LT", "ST", "UT", "UR") else (value,)
    element_of(vr, values, b"ISO_IR 192")  # what can't be a value is told now
    if vr == "UI":
        _check_uids(path, values)
    return lambda view: view.write(path, vr, values)


def _check_uids(path: Path, values: Iterable[str]) -> None:
    """Raises ValueError where one can't be a UID of this attribute (PS3.5 9.1); what identifies an object has one."""
    needed = len(path.steps) == 1 and path.top in IDENTITY
    for value in values:
        if not is_regular(value) and (needed or value):
            raise ValueError(f"{value!r} is no UID")


def _copy(path: Path, source: Path, vr: str) -> Act:
    if vr != source.vr and not (writable(vr) and writable(source.vr)):
        raise ValueError(f"{source} ({source.vr}) can't be copied to VR {vr}")

    def act(view: View) -> None:
        found = next(view.elements(source), None)
        if found is None:
            return
        element, declared = found
        if element.vr == vr and not (is_text(vr) and declared != view.declared):
            view.put(path, lambda _before, _declared: element, make=True)
        else:
            view.write(path, vr, texts_of(element, declared))

    return act


def _each_text(path: Path, changed: Callable[[str], str]) -> Act:
    """Apply a function to every value at a path."""

    def change(before: Element | None, declared: bytes) -> Element | None:
        if before is None or not writable(before.vr):
            return before
        old = texts_of(before, declared)
        new = tuple(map(changed, old))
        return before if new == old else element_of(before.vr, new, declared)

    return lambda view: view.put(path, change)


def _lookup(action: Action, folder: FilePath, target: Path) -> Callable[[str], str]:
    if (action.table is None) == (action.file is None):
        raise ValueError("either a table or a file is needed")
    table = dict(action.table) if action.table is not None else _read_table(folder / (action.file or ""))
    otherwise = action.otherwise
    if target.vr == "UI":
        _check_uids(target, [*table.values(), *([] if otherwise is None else [otherwise])])
    return lambda value: table.get(value, value if otherwise is None else otherwise)


def _read_table(path: FilePath) -> dict[str, str]:
    """The first two columns of a CSV file."""
    try:
        if path.stat().st_size > _BIGGEST_TABLE:
            raise ValueError(f"file: {path} is larger than {_BIGGEST_TABLE >> 20} MiB")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"file: {path} can't be read: {type(error).__name__}") from error
    if any(len(row) < 2 for row in rows):
        raise ValueError(f"file: {path} has a line without two columns")
    return {row[0].strip(): row[1].strip() for row in rows}


def _hash(path: Path, key: bytes) -> Act:
    if path.vr != "UI" and path.vr not in ("LO", "SH", "PN", "LT", "ST", "UT", "UC", "CS", "AE"):
        raise ValueError(f"VR {path.vr} has no room for a hash")
    if path.vr == "UI":
        return _each_text(path, lambda value: hashed_uid(key, value) if value else value)
    length = min(MOST.get(path.vr, _LONGEST_HASH), _LONGEST_HASH)
    return _each_text(path, lambda value: hashed_text(key, value, length) if value else value)


def hashed_uid(key: bytes, uid: str) -> str:
    """A UID below 2.25 (PS3.5 B.2) that only who has the key can tell to be the other's."""
    digest = hmac.new(key, uid.encode("utf-8"), hashlib.sha256).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def hashed_text(key: bytes, text: str, length: int) -> str:
    """Capital hexadecimal digits, `length` at most."""
    return hmac.new(key, text.encode("utf-8"), hashlib.sha256).hexdigest().upper()[:length]


def _private(action: Action) -> Act:
    """A private element; its block is found by its creator, or the first free one reserved (PS3.5 7.8.1)."""
    if not _GROUP.fullmatch(action.private or "") or not int(action.private or "0", 16) & 1:
        raise ValueError(f"private: {action.private!r} is no odd group of four hexadecimal digits")
    group, number = int(action.private or "", 16), action.element or 0
    if group < 9 or group > 0x7FDF:
        raise ValueError(f"private: {action.private!r} is not a group that may be used")
    if not 0 <= number <= 0xFF:
        raise ValueError("private: element is a number from 0 to 255")
    if len(action.creator) > MOST["LO"] or "\\" in action.creator:
        raise ValueError("private: creator is no value of VR LO")
    if not writable(action.vr):
        raise ValueError(f"private: VR {action.vr!r} can't be written")
    values = tuple((action.value or "").split("\\"))
    element_of(action.vr, values, b"ISO_IR 192")

    def act(view: View) -> None:
        block = _block(view, group, action.creator)
        if block is None:
            return
        _write_top(view, group << 16 | block, "LO", (action.creator,))
        _write_top(view, group << 16 | block << 8 | number, action.vr, values)

    return act


def _write_top(view: View, tag: int, vr: str, values: tuple[str, ...]) -> None:
    view.write(Path((Step(tag, paths.EVERY),), vr), vr, values)


def _block(view: View, group: int, creator: str) -> int | None:
    """The block that `creator` has or may have; None where all are taken."""
    free = None
    for block in range(0x10, 0x100):
        element = view.top(group << 16 | block)
        if element is None:
            free = free or block
        elif creator in texts_of(element, view.declared)[:1]:
            return block
    return free
