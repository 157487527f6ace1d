"""Query keys as they are typed, the identifier made of them, and answers as a person reads them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from isocenter.dicom import charset, dataset, uids
from isocenter.dicom.dataset import DataSet, Element
from isocenter.dicom.dictionary import keyword_of, tag_of, vr_of
from isocenter.errors import ConfigurationError

LEVELS: Final = ("patient", "study", "series", "image")
_MODELS: Final = {
    "patient": (uids.PATIENT_ROOT_FIND, uids.PATIENT_ROOT_MOVE, uids.PATIENT_ROOT_GET),
    "study": (uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET),
    "patient-study-only": (
        uids.PATIENT_STUDY_ONLY_FIND,
        uids.PATIENT_STUDY_ONLY_MOVE,
        uids.PATIENT_STUDY_ONLY_GET,
    ),
}
RETURNED: Final = {
    "patient": ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    "study": (
        *("StudyDate", "PatientName", "PatientID", "AccessionNumber", "ModalitiesInStudy", "StudyDescription"),
        *("NumberOfStudyRelatedInstances", "StudyInstanceUID"),
    ),
    "series": ("SeriesNumber", "Modality", "SeriesDescription", "NumberOfSeriesRelatedInstances", "SeriesInstanceUID"),
    "image": ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}
"""What is asked for at each level beside the keys that were given."""

_CHARACTER_SET: Final = 0x00080005
_LEVEL: Final = 0x00080052
_TAG = re.compile(r"\(?([0-9a-fA-F]{4}),?([0-9a-fA-F]{4})\)?")
_UTF_8 = "ISO_IR 192"


@dataclass(frozen=True)
class Asked:
    """A request's level, model and keys; a key without a value is to be returned. A path steps into sequences."""

    level: str
    model: str
    keys: tuple[tuple[tuple[int, ...], str], ...]

    @classmethod
    def of(cls, written: Sequence[str], level: str, model: str) -> "Asked":
        """From the command line. Raises ConfigurationError naming what is wrong."""
        if level not in LEVELS:
            raise ConfigurationError(f"--level: {level!r} is none of {', '.join(LEVELS)}")
        if model not in _MODELS:
            raise ConfigurationError(f"--model: {model!r} is none of {', '.join(_MODELS)}")
        return cls(level, model, tuple(_key(text) for text in written))

    @property
    def find_class(self) -> str:
        """The C-FIND SOP class."""
        return _MODELS[self.model][0]

    @property
    def move_class(self) -> str:
        """The C-MOVE SOP class."""
        return _MODELS[self.model][1]

    @property
    def get_class(self) -> str:
        """The C-GET SOP class."""
        return _MODELS[self.model][2]

    def identifier(self, *, returned: Iterable[str] = ()) -> DataSet:
        """The identifier, with the keys and empty elements for `returned` keywords. A query asks for its answers in
        ISO_IR 192 (M-DWFIND-03)."""
        returned = tuple(returned)
        plain = all(value.isascii() for _, value in self.keys)
        identifier: DataSet = {_LEVEL: dataset.text("CS", self.level.upper())}
        if returned or not plain:
            identifier[_CHARACTER_SET] = dataset.text("CS", _UTF_8)
        for path, value in (*((tag_path(name), "") for name in returned), *self.keys):
            _put(identifier, path, value)
        return identifier


def _key(written: str) -> tuple[tuple[int, ...], str]:
    name, _, value = written.partition("=")
    return tag_path(name), value


def tag_path(name: str) -> tuple[int, ...]:
    """`PatientID`, `0010,0020` or `RequestAttributesSequence.ScheduledProcedureStepID`."""
    return tuple(_tag(step.strip()) for step in name.split("."))


def _tag(name: str) -> int:
    if match := _TAG.fullmatch(name):
        return int(match[1] + match[2], 16)
    tag = tag_of(name)
    if tag is None:
        raise ConfigurationError(f"--key: {name!r} is no attribute of DICOM")
    return tag


def _put(holder: DataSet, path: tuple[int, ...], value: str) -> None:
    tag, *rest = path
    if not rest:
        holder[tag] = dataset.text(vr_of(tag) or "LO", value, _UTF_8)
        return
    there = holder.get(tag)
    item: DataSet = there.value[0] if there is not None and isinstance(there.value, tuple) and there.value else {}
    _put(item, tuple(rest), value)
    holder[tag] = Element("SQ", (item,))


def columns(asked: Asked) -> tuple[tuple[int, ...], ...]:
    """What a table of answers shows: the given keys, then the usual ones of the level."""
    paths = [path for path, _ in asked.keys] + [tag_path(name) for name in RETURNED[asked.level]]
    return tuple(dict.fromkeys(paths))


def heading(path: tuple[int, ...]) -> str:
    """The column's name."""
    return ".".join(keyword_of(tag) or f"{tag >> 16:04X},{tag & 0xFFFF:04X}" for tag in path)


def shown(answer: DataSet, path: tuple[int, ...]) -> str:
    """One value of an answer, decoded."""
    holder = answer
    for tag in path[:-1]:
        holder = next(iter(dataset.items_of(holder, tag)), {})
    element = holder.get(path[-1])
    if element is None or isinstance(element.value, tuple):
        return ""
    if element.vr in ("US", "UL", "SS", "SL"):
        return str(dataset.int_of(holder, path[-1]))
    declared = dataset.string_of(answer, _CHARACTER_SET)
    return charset.decode(element.value, element.vr, declared).strip(" \0")
