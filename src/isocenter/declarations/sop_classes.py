"""The SOP classes: every storage class of the standard, retired and private ones, and the service classes.

The table lies beside this module as text, a line a class: UID, name, category, flags (R retired, P private, I image, S
negotiated like a storage class by systems of the field though it is none, M-STORE-14). What an AE accepts is this,
narrowed or widened by its configuration.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

STORAGE = "storage"


class SopClass(NamedTuple):
    """One SOP class. `category` is what it serves: `storage`, `query`, `retrieve`, `worklist`, `print`, ..."""

    uid: str
    name: str
    category: str
    retired: bool
    private: bool
    image: bool
    """Instances have pixel data, as far as the class tells."""
    stored_by_some: bool
    """A normalized class that some systems list among their storage contexts; a C-STORE of it means nothing."""


@cache
def registry() -> dict[str, SopClass]:
    """All classes by UID."""
    text = files("isocenter.declarations").joinpath("data/sop_classes.tsv").read_text("ascii")
    return {entry.uid: entry for entry in map(_entry, text.splitlines())}


def _entry(line: str) -> SopClass:
    uid, name, category, flags = line.split("\t")
    return SopClass(uid, name, category, "R" in flags, "P" in flags, "I" in flags, "S" in flags)


@cache
def storage_classes() -> frozenset[str]:
    """The UIDs of all storage classes."""
    return frozenset(uid for uid, entry in registry().items() if entry.category == STORAGE)


@cache
def negotiable_for_storage() -> frozenset[str]:
    """The storage classes and the classes that some systems propose among them (M-GAP-08)."""
    return storage_classes() | {uid for uid, entry in registry().items() if entry.stored_by_some}


def is_storage(uid: str) -> bool:
    """Whether `uid` is a known storage class."""
    return uid in storage_classes()


def is_service(uid: str) -> bool:
    """Whether `uid` is known to be something other than storage, so that "accept any storage class" leaves it out."""
    entry = registry().get(uid)
    return entry is not None and entry.category != STORAGE


def is_image(uid: str) -> bool:
    """Whether instances of `uid` have pixel data, as far as the class tells; unknown classes may."""
    entry = registry().get(uid)
    return entry is None or entry.image


def name_of(uid: str) -> str:
    """The name of a class for people, its UID where it has none."""
    entry = registry().get(uid)
    return entry.name if entry else uid


SUBSTITUTES: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.10008.5.1.4.1.1.6": "1.2.840.10008.5.1.4.1.1.6.1",
        "1.2.840.10008.5.1.4.1.1.6.1": "1.2.840.10008.5.1.4.1.1.6",
        "1.2.840.10008.5.1.4.1.1.3": "1.2.840.10008.5.1.4.1.1.3.1",
        "1.2.840.10008.5.1.4.1.1.3.1": "1.2.840.10008.5.1.4.1.1.3",
    }
)
"""What an object may be sent as to a peer that lacks its class: ultrasound, retired and current (X-QR-05)."""


def classes_of(category: str) -> tuple[SopClass, ...]:
    """All classes that serve `category`."""
    return tuple(entry for entry in registry().values() if entry.category == category)
