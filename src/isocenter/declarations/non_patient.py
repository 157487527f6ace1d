"""Instances that belong to no patient: their SOP classes, information models and query keys, as data.

PS3.4 GG lists the storage classes, U, X, BB, HH, II and JJ the information models; PS3.18 12 the resources of the
Non-Patient Instance service. Such an instance names no study and no series; its SOP Instance UID is all its path.
`/protocol-approvals` follows a change proposal to PS3.18 12.1.1 (CP-2551).

The keys lie beside this module as text, a line a key: model (`*` for every one), keywords of the path.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, NamedTuple

from isocenter.declarations.query_keys import Match, Path, dotted, matching_of, resolve
from isocenter.dicom import dictionary


class Model(NamedTuple):
    """One information model: what is stored of it, and how it is asked for."""

    name: str
    """As data/non_patient_keys.tsv calls it."""
    title: str
    classes: tuple[str, ...]
    """Its storage SOP classes."""
    find: str
    move: str
    get: str
    resource: str
    """The `npi-name` of PS3.18 12.1.1 under which its instances stand."""


_STANDARD: Final = "1.2.840.10008.5.1.4"


def _model(name: str, title: str, resource: str, classes: tuple[str, ...], *asked: str) -> Model:
    """A model by the ends of its UIDs: storage classes, then FIND, MOVE and GET."""
    find, move, get = (f"{_STANDARD}.{end}" for end in asked)
    return Model(name, title, tuple(f"{_STANDARD}.{end}" for end in classes), find, move, get, resource)


MODELS: Final = (
    _model("hanging-protocol", "Hanging Protocol", "hanging-protocols", ("38.1",), "38.2", "38.3", "38.4"),
    _model("color-palette", "Color Palette", "color-palettes", ("39.1",), "39.2", "39.3", "39.4"),
    _model("implant-template", "Generic Implant Template", "implant-templates", ("43.1",), "43.2", "43.3", "43.4"),
    _model("implant-assembly", "Implant Assembly Template", "implant-templates", ("44.1",), "44.2", "44.3", "44.4"),
    _model("implant-group", "Implant Template Group", "implant-templates", ("45.1",), "45.2", "45.3", "45.4"),
    _model(
        "defined-procedure-protocol",
        "Defined Procedure Protocol",
        "defined-procedure-protocols",
        ("1.1.200.1", "1.1.200.7"),
        *("20.1", "20.2", "20.3"),
    ),
    _model(
        "protocol-approval",
        "Protocol Approval",
        "protocol-approvals",
        ("1.1.200.3",),
        *("1.1.200.4", "1.1.200.5", "1.1.200.6"),
    ),
    _model("inventory", "Inventory", "inventories", ("1.1.201.1",), "1.1.201.2", "1.1.201.3", "1.1.201.4"),
)

MODEL_OF: Final[Mapping[str, Model]] = MappingProxyType({uid: model for model in MODELS for uid in model.classes})
"""By storage SOP class; what is not here has a study and a series."""
FIND_MODELS: Final[Mapping[str, Model]] = MappingProxyType({model.find: model for model in MODELS})
MOVE_MODELS: Final[Mapping[str, Model]] = MappingProxyType({model.move: model for model in MODELS})
GET_MODELS: Final[Mapping[str, Model]] = MappingProxyType({model.get: model for model in MODELS})

RESOURCES: Final[Mapping[str, tuple[Model, ...]]] = MappingProxyType(
    {name: tuple(model for model in MODELS if model.resource == name) for name in sorted({m.resource for m in MODELS})}
)
"""The models whose instances stand under each `npi-name`."""


def classes_of(resource: str) -> tuple[str, ...]:
    """The storage SOP classes of an `npi-name`."""
    return tuple(uid for model in RESOURCES[resource] for uid in model.classes)


class Key(NamedTuple):
    """One attribute of a model that is matched and returned."""

    path: Path

    @property
    def vr(self) -> str:
        """Its value representation."""
        return dictionary.vr_of(self.path[-1])

    @property
    def matching(self) -> Match:
        """How it is matched (PS3.4 C.2.2.2)."""
        return matching_of(self.vr)

    @property
    def keyword(self) -> str:
        """Keywords of the path joined by dots."""
        return ".".join(dictionary.keyword_of(tag) or f"{tag:08X}" for tag in self.path)

    @property
    def dotted(self) -> str:
        """The path in hexadecimal, joined by dots."""
        return dotted(self.path)


UNIQUE: Final[Path] = (0x00080018,)
"""SOP Instance UID, the unique key of every model."""


@cache
def keys_of(model: str) -> Mapping[Path, Key]:
    """The keys of the model of this name."""
    lines = files("isocenter.declarations").joinpath("data/non_patient_keys.tsv").read_text("ascii").splitlines()
    named = [line.split("\t") for line in lines]
    found = {}
    for owner, keywords in named:
        if owner in ("*", model):
            path = resolve(keywords)
            if path is None:
                raise ValueError(f"non_patient_keys.tsv: {keywords} is no element")
            found[path] = Key(path)
    return MappingProxyType(found)


@cache
def tags_of(sop_class: str) -> frozenset[int]:
    """The elements of an instance of `sop_class` that the index keeps, Specific Character Set among them."""
    held = {path[0] for path in keys_of(MODEL_OF[sop_class].name)}
    return frozenset(held | {0x00080005})
