"""De-identification by the Basic Application Level Confidentiality Profile (PS3.15 E.2), as changes over an object.

    changes(Window(read, size), syntax, profile) -> Changes      to be laid over it (`dicom.overlay`)

The encoded data set is walked once at its top level; sequences that stay are read and written anew, cleaned in the same
way. Pixel data passes through (`archive.deidentifying` says which may show a patient). Beyond the standard's table,
text that stays but holds the patient's name, id or accession number gives way to a dummy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from isocenter.dicom.dataset import DataSet, Element, items, sequence, text
from isocenter.dicom.deidentify_table import Action, Option, treatment_of
from isocenter.dicom.dictionary import vr_of
from isocenter.dicom.headers import (
    IMPLICIT_LITTLE,
    ITEM,
    PIXEL_TAGS,
    Encoding,
    Header,
    MalformedDataSet,
    Window,
    encoding_at,
    encoding_of,
    read_header,
)
from isocenter.dicom.jumping import skip_undefined
from isocenter.dicom.overlay import Changes, Edit, Find, edits
from isocenter.dicom.pseudonyms import Pseudonyms, each_value, moved
from isocenter.dicom.swapping import swapped

PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
IDENTITY_REMOVED: Final = 0x00120062
METHOD: Final = 0x00120063
METHOD_CODES: Final = 0x00120064
TEMPORAL_MODIFIED: Final = 0x00280303
_ISSUER: Final = 0x00100021
_IDENTIFYING: Final = frozenset({PATIENT_NAME, PATIENT_ID, _ISSUER, 0x00101000, 0x00101001, 0x00080050})
_MOST_NAME: Final = 1 << 12
_LEAST: Final = 4
"""Characters of a name or an id that is looked for in texts; shorter ones are in too many words."""
_LONGEST_TEXT: Final = 1 << 20
_LONGEST_SEQUENCE: Final = 1 << 28
_BEHIND_PIXELS: Final = (0xFFFAFFFA, 0xFFFCFFFC)
"""Digital Signatures Sequence, Data Set Trailing Padding."""

DUMMY: Final = b"REMOVED"
_DUMMIES: Final = {
    "AE": DUMMY, "AS": b"000Y", "DA": b"19000101", "DS": b"0", "DT": b"19000101000000", "IS": b"0", "LO": DUMMY,
    "LT": DUMMY, "PN": DUMMY, "SH": DUMMY, "ST": DUMMY, "TM": b"000000", "UC": DUMMY, "UR": b"urn:removed",
    "UT": DUMMY,
}  # fmt: skip
_TEXTS: Final = frozenset({"LO", "LT", "SH", "ST", "UC", "UR", "UT", "AE"})
_TEMPORAL: Final = frozenset({"DA", "DT", "TM"})
_ONLY_EMPTY: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})

_CODES: Final = {
    Option.UIDS: ("113110", "Retain UIDs Option"),
    Option.DEVICE: ("113109", "Retain Device Identity Option"),
    Option.INSTITUTION: ("113112", "Retain Institution Identity Option"),
    Option.CHARACTERISTICS: ("113108", "Retain Patient Characteristics Option"),
    Option.DATES: ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
}
_BASIC: Final = ("113100", "Basic Application Confidentiality Profile")
_MOVED: Final = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile as an installation has it."""

    secret: bytes = field(repr=False)
    """What pseudonyms are made with; never empty."""
    keep: frozenset[Option] = frozenset()
    """Options that keep attributes."""
    dates: Literal["remove", "shift"] = "remove"
    """Without the option that keeps dates: they go, or are moved back by as many days for all objects of a patient."""

    @property
    def pseudonyms(self) -> Pseudonyms:
        """Replacements under the secret."""
        return Pseudonyms(self.secret)

    def tag(self) -> str:
        """Something that tells this profile from others, for caches."""
        return f"{self.pseudonyms.tag()} {self.dates} {','.join(sorted(self.keep))}"


class _Subject(NamedTuple):
    """Whose object it is: what pseudonyms hang on, and what must not be left in texts (lower case)."""

    identity: bytes
    told_by: tuple[bytes, ...]


def changes(window: Window, syntax: str, profile: Profile) -> Changes:
    """What de-identification changes in the data set under `window`, which is not deflated (any more).

    Raises MalformedDataSet where its top level can't be read. A sequence within that can't be read goes.
    """
    written = encoding_at(window, 0, encoding_of(syntax))
    cleaner = _Cleaner(profile, _subject(window, written))
    found: dict[int, Element | None] = {}
    for header, end in _elements(window, written):
        tag = header.tag
        if tag in PIXEL_TAGS or not tag & 0xFFFF:
            continue
        change = cleaner.change(_Stored(window, header, end, written))
        if change is not cleaner.SAME:
            found[tag] = change
    return {**found, **_statement(profile)}


def finding(syntax: str, profile: Profile) -> Find:
    """The same as edits, for `overlay.Edited`."""

    def find(window: Window) -> Iterator[Edit]:
        return edits(window, syntax, changes(window, syntax, profile))

    return find


def cleaned(data_set: DataSet, profile: Profile) -> DataSet:
    """A data set in memory, de-identified, with the statement that it is."""
    cleaner = _Cleaner(profile, _subject_of(data_set))
    return _present({**cleaner.item(data_set), **_statement(profile)})


# --- whose object it is


def _subject(window: Window, written: Encoding) -> _Subject:
    known: DataSet = {}
    for header, end in _elements(window, written):
        if header.tag > max(_IDENTIFYING):
            break
        if header.tag in _IDENTIFYING and end - header.offset <= _MOST_NAME:
            known[header.tag] = Element(header.vr, window.bytes_at(header.offset, end - header.offset))
    return _subject_of(known)


def _subject_of(known: DataSet) -> _Subject:
    values = {tag: element.value for tag, element in known.items() if isinstance(element.value, bytes)}
    patient, issuer = (values.get(tag, b"").strip(b" \0") for tag in (PATIENT_ID, _ISSUER))
    told: set[bytes] = set()
    for tag in _IDENTIFYING - {_ISSUER}:
        for part in values.get(tag, b"").replace(b"^", b"\\").replace(b"=", b"\\").replace(b" ", b"\\").split(b"\\"):
            if len(part.strip(b" \0")) >= _LEAST:
                told.add(part.strip(b" \0").lower())
    identity = patient + b"\0" + issuer if patient else values.get(PATIENT_NAME, b"").strip(b" \0")
    return _Subject(identity, tuple(sorted(told)))


# --- walking


class _Stored(NamedTuple):
    """An element where it stands."""

    window: Window
    header: Header
    end: int
    written: Encoding

    @property
    def length(self) -> int:
        """Bytes of its value."""
        return self.end - self.header.offset

    def value(self) -> bytes:
        """Its value's bytes, little endian."""
        data = self.window.bytes_at(self.header.offset, self.length)
        return data if self.written.little or self.header.vr == "UN" else swapped(self.header.vr, data)

    def element(self) -> Element:
        """The element. Raises MalformedDataSet for a sequence that can't be read."""
        vr = self.vr
        if vr != "SQ":
            return Element(vr, self.value())
        data = self.window.bytes_at(self.header.offset, self.length)
        unknown = self.header.vr == "UN" and not self.header.implicit
        encoding = IMPLICIT_LITTLE if unknown else Encoding(self.header.implicit, self.written.little)
        return Element("SQ", items(data, encoding))

    @property
    def vr(self) -> str:
        """Its VR, the dictionary's where UN is written."""
        return vr_of(self.header.tag) if self.header.vr == "UN" else self.header.vr


def _elements(window: Window, written: Encoding) -> Iterator[tuple[Header, int]]:
    """The elements of the top level, each with the end of its value."""
    pos = 0
    while not window.ended(pos):
        header = read_header(window, pos, written)
        if header.tag == ITEM:
            raise MalformedDataSet("an item stands where an element should", pos)
        end = pos = header.offset + header.length
        if header.length < 0:
            if header.tag >> 16 == 0xFFFE:
                end = pos = header.offset
            else:
                within = Encoding(header.implicit, written.little)
                end, pos = skip_undefined(window, header.offset, header.vr, header.tag, within)
        if header.tag >> 16 != 0xFFFE:
            yield header, end


# --- changing


class _Cleaner:
    """Changes elements of one object, of its top level and of items alike."""

    SAME: Final = Element("", b"")
    """An element that stays as it is."""

    def __init__(self, profile: Profile, subject: _Subject) -> None:
        self._profile, self._subject = profile, subject
        self._pseudonyms = profile.pseudonyms
        self._days = self._pseudonyms.days(subject.identity)

    def change(self, stored: _Stored) -> Element | None:
        """What becomes of an element of the top level; `SAME` where nothing is to change."""
        tag, vr, action = stored.header.tag, stored.vr, self._action(stored.header.tag)
        if action == Action.REMOVE and not self._shifts(tag, vr):
            return None
        longest = _LONGEST_SEQUENCE if vr == "SQ" else _LONGEST_TEXT
        if stored.length > longest:
            return self.SAME if action == Action.KEEP and vr not in _TEXTS and vr != "SQ" else None
        if action == Action.KEEP and vr != "SQ" and vr not in _TEXTS:
            return self.SAME
        try:
            element = stored.element()
        except MalformedDataSet:  # what can't be read can't be cleaned: it goes
            return None
        made = self._made(tag, element)
        return self.SAME if made == element and vr != "SQ" else made

    def item(self, data_set: DataSet) -> DataSet:
        """An item, cleaned."""
        return _present({tag: self._made(tag, element) for tag, element in data_set.items()})

    def _action(self, tag: int) -> Action:
        action, options = treatment_of(tag)
        return Action.KEEP if options & self._profile.keep else action

    def _shifts(self, tag: int, vr: str) -> bool:
        return self._profile.dates == "shift" and vr in _TEMPORAL and Option.DATES in treatment_of(tag).options

    def _made(self, tag: int, element: Element) -> Element | None:
        vr, value = element
        if self._shifts(tag, vr) and isinstance(value, bytes) and Option.DATES not in self._profile.keep:
            later = moved(vr, value, self._days)
            return Element(vr, later) if later is not None else None
        if tag in (PATIENT_NAME, PATIENT_ID):
            return Element(vr, self._pseudonyms.patient(self._subject.identity) if value else b"")
        match self._action(tag):
            case Action.REMOVE:
                return None
            case Action.EMPTY:
                return Element(vr, () if isinstance(value, tuple) else b"")
            case Action.DUMMY:
                return self._dummy(element)
            case Action.REPLACE_UIDS:
                return self._with_new_uids(element)
        return self._kept(element)

    def _kept(self, element: Element) -> Element:
        vr, value = element
        if isinstance(value, tuple):
            return self._cleaned(value)
        return Element(vr, _DUMMIES[vr]) if vr in _TEXTS and self._tells(value) else element

    def _with_new_uids(self, element: Element) -> Element:
        vr, value = element
        if isinstance(value, tuple):
            return self._cleaned(value)
        return Element(vr, each_value(value, self._pseudonyms.uid))

    def _cleaned(self, value: tuple[DataSet, ...]) -> Element:
        return Element("SQ", tuple(map(self.item, value)))

    def _dummy(self, element: Element) -> Element | None:
        """Something in the place of a value that may have to be there; of a sequence one item that tells nothing."""
        vr, value = element
        if not value:
            return element
        if isinstance(value, tuple):
            return Element("SQ", (self._silenced(value[0]),))
        if vr in _ONLY_EMPTY:
            return Element(vr, b"\0\0")
        return Element(vr, _DUMMIES[vr]) if vr in _DUMMIES else self._with_new_uids(element) if vr == "UI" else None

    def _silenced(self, data_set: DataSet) -> DataSet:
        """An item of the same form without anything that was written in it; code strings and numbers stay."""
        made: DataSet = {}
        for tag, element in self.item(data_set).items():
            vr, value = element
            if isinstance(value, tuple):
                made[tag] = Element("SQ", tuple(map(self._silenced, value[:1])))
            elif vr in _DUMMIES and value:
                made[tag] = Element(vr, _DUMMIES[vr])
            elif vr not in _ONLY_EMPTY:
                made[tag] = element
        return made

    def _tells(self, value: bytes) -> bool:
        lower = value.lower()
        return any(part in lower for part in self._subject.told_by)


def _present(made: Changes) -> DataSet:
    return {tag: element for tag, element in made.items() if element is not None}


# --- saying so


def _statement(profile: Profile) -> Changes:
    """Attributes that say what was done (PS3.15 E.2, PS3.3 C.12.1.1.1), and what can't stand behind pixel data."""
    codes = [_BASIC, *(_CODES[option] for option in Option if option in profile.keep)]
    temporal = "UNMODIFIED" if Option.DATES in profile.keep else "REMOVED"
    if profile.dates == "shift" and Option.DATES not in profile.keep:
        codes.append(_MOVED)
        temporal = "MODIFIED"
    made: dict[int, Element | None] = dict.fromkeys(_BEHIND_PIXELS)
    made[IDENTITY_REMOVED] = text("CS", "YES")
    made[METHOD] = text("LO", "PS3.15 Basic Application Level Confidentiality")
    made[METHOD_CODES] = sequence(*map(_code, codes))
    made[TEMPORAL_MODIFIED] = text("CS", temporal)
    return made


def _code(code: tuple[str, str]) -> DataSet:
    value, meaning = code
    return {0x00080100: text("SH", value), 0x00080102: text("SH", "DCM"), 0x00080104: text("LO", meaning)}
