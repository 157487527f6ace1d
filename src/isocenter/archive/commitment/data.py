"""The data sets of storage commitment (PS3.4 J.3): Action Information and Event Information, read and made.

Nothing of a file-set is sent, nor the Referenced Study Component Sequence (X-MOD-33, X-QR-65).
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from isocenter.declarations.commitment import FAILURES_EXIST, SUCCESSFUL, Action, Failure
from isocenter.dicom import dataset
from isocenter.dicom.dataset import DataSet
from isocenter.dicom.elements import MalformedDataSet
from isocenter.errors import IsocenterError, Reason, Refused

RETRIEVE_AE_TITLE = 0x00080054
SOP_CLASS = 0x00081150
SOP_INSTANCE = 0x00081155
TRANSACTION_UID = 0x00081195
FAILURE_REASON = 0x00081197
FAILED = 0x00081198
REFERENCED = 0x00081199

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64


class Reference(NamedTuple):
    """One referenced instance."""

    sop_class: str
    sop_uid: str


class Named(NamedTuple):
    """One instance that a request names; the study and series it says that it belongs to, '' where it doesn't."""

    sop_class: str
    sop_uid: str
    study_uid: str = ""
    series_uid: str = ""

    @property
    def reference(self) -> Reference:
        """The instance alone."""
        return Reference(self.sop_class, self.sop_uid)


class Requested(NamedTuple):
    """What an N-ACTION asks for."""

    transaction_uid: str
    references: tuple[Reference, ...]


class Result(NamedTuple):
    """What is said of one instance."""

    sop_class: str
    sop_uid: str
    failure: int
    """Failure Reason (0008,1197); 0: it is committed."""
    retrieve_aet: str = ""


class Reported(NamedTuple):
    """What an N-EVENT-REPORT says."""

    transaction_uid: str
    results: tuple[Result, ...]


class Malformed(Refused):
    """A data set that breaks the rules of its service; `status` is the answer."""

    def __init__(self, status: Action, comment: str) -> None:
        super().__init__(Reason.BAD_REQUEST, comment)
        self.status = status


def digest(references: Iterable[Reference]) -> str:
    """The same for the same instances, in whatever order."""
    lines = sorted(f"{each.sop_class} {each.sop_uid}" for each in references)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


# --- the request


def read_request(data: bytes | None, syntax: str) -> Requested:
    """The Action Information of N-ACTION (PS3.4 J.3.2.1.1). Raises Malformed."""
    found = _decoded(data, syntax)
    transaction = _uid(found, TRANSACTION_UID, "Transaction UID")
    if REFERENCED not in found:
        raise Malformed(Action.MISSING_ATTRIBUTE, "no Referenced SOP Sequence")
    items = dataset.items_of(found, REFERENCED)
    if not items:
        raise Malformed(Action.MISSING_VALUE, "empty Referenced SOP Sequence")
    return Requested(transaction, tuple(dict.fromkeys(map(_reference, items))))


def request(asked: Requested, syntax: str) -> bytes:
    """The Action Information, encoded."""
    items = [_item(*each) for each in asked.references]
    made: DataSet = {
        TRANSACTION_UID: dataset.uid(asked.transaction_uid),
        REFERENCED: dataset.sequence(*items),
    }
    return dataset.encode(made, syntax)


def _decoded(data: bytes | None, syntax: str) -> DataSet:
    if not data:
        raise Malformed(Action.MISSING_ATTRIBUTE, "no data set")
    try:
        return dataset.decode(data, syntax)
    except (MalformedDataSet, IsocenterError, ValueError) as fault:
        raise Malformed(Action.PROCESSING_FAILURE, "the data set can't be read") from fault


def _reference(item: DataSet) -> Reference:
    return Reference(
        _uid(item, SOP_CLASS, "Referenced SOP Class UID"), _uid(item, SOP_INSTANCE, "Referenced SOP Instance UID")
    )


def _uid(holder: DataSet, tag: int, name: str) -> str:
    if tag not in holder:
        raise Malformed(Action.MISSING_ATTRIBUTE, f"no {name}")
    value = dataset.string_of(holder, tag)
    if not value:
        raise Malformed(Action.MISSING_VALUE, f"empty {name}")
    if len(value) > _LONGEST_UID or not _UID.fullmatch(value):
        raise Malformed(Action.INVALID_ARGUMENT, f"malformed {name}")
    return value


def _item(sop_class: str, sop_uid: str) -> DataSet:
    return {SOP_CLASS: dataset.uid(sop_class), SOP_INSTANCE: dataset.uid(sop_uid)}


# --- the report


def event_type(results: Sequence[Result]) -> int:
    """Which event the results are."""
    return FAILURES_EXIST if any(each.failure for each in results) else SUCCESSFUL


def report(transaction_uid: str, results: Sequence[Result], retrieve_aet: str, syntax: str) -> bytes:
    """The Event Information of N-EVENT-REPORT (PS3.4 J.3.3.1.1), encoded. A sequence without items is left out."""
    made: DataSet = {TRANSACTION_UID: dataset.uid(transaction_uid)}
    committed = [_item(each.sop_class, each.sop_uid) for each in results if not each.failure]
    failed = [
        {**_item(each.sop_class, each.sop_uid), FAILURE_REASON: dataset.us(each.failure)}
        for each in results
        if each.failure
    ]
    if committed:
        made |= {RETRIEVE_AE_TITLE: dataset.text("AE", retrieve_aet), REFERENCED: dataset.sequence(*committed)}
    if failed:
        made[FAILED] = dataset.sequence(*failed)
    return dataset.encode(made, syntax)


def read_report(data: bytes | None, syntax: str) -> Reported:
    """The Event Information. A failed item without a reason counts as a processing failure; an instance that is named
    in both sequences counts as failed. Raises Malformed."""
    found = _decoded(data, syntax)
    transaction = _uid(found, TRANSACTION_UID, "Transaction UID")
    everywhere = dataset.string_of(found, RETRIEVE_AE_TITLE)
    results: dict[str, Result] = {}
    for item in dataset.items_of(found, REFERENCED):
        sop_class, sop_uid = _reference(item)
        where = dataset.string_of(item, RETRIEVE_AE_TITLE) or everywhere
        results[sop_uid] = Result(sop_class, sop_uid, Failure.NONE, where[:16])
    for item in dataset.items_of(found, FAILED):
        sop_class, sop_uid = _reference(item)
        reason = dataset.int_of(item, FAILURE_REASON) or Failure.PROCESSING_FAILURE
        results[sop_uid] = Result(sop_class, sop_uid, reason)
    if not results:
        raise Malformed(Action.MISSING_ATTRIBUTE, "the report names no instance")
    return Reported(transaction, tuple(results.values()))


def event_reply(unknown: Iterable[Result], syntax: str) -> bytes:
    """The Event Reply of an N-EVENT-REPORT response that names the instances which nobody asked for (X-MOD-36)."""
    return dataset.encode({REFERENCED: dataset.sequence(*(_item(*each[:2]) for each in unknown))}, syntax)
