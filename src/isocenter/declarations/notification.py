"""Notifications as data: Basic Study Content Notification (retired; I-BSCN, I-PREF-03) and Instance Availability
Notification (PS3.4 R, P-IAN).

The negotiator, both services, the senders and the conformance statement read it.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from isocenter.declarations.presets import Preset
from isocenter.dicom.uids import (
    BASIC_STUDY_CONTENT_NOTIFICATION,
    EXPLICIT_LE,
    IMPLICIT_LE,
    INSTANCE_AVAILABILITY_NOTIFICATION,
)

NOT_VERIFIED: Final = 0x0003
"""The success of a Basic Study Content Notification SCP that does not look for the images it is told of (I-GAP-18)."""
STUDY_CONTENT_SUCCESS: Final = (0x0000, 0x0001, 0x0002, NOT_VERIFIED)
"""What a sender takes for success (I-GAP-18)."""

STUDY_CONTENT_ANSWERS: Final[Mapping[Preset, int]] = MappingProxyType({"archive": NOT_VERIFIED})
"""What an AE answers, by its preset; 0000 by all others."""


class Answer(IntEnum):
    """Status of our response to a notification (PS3.7 10.1.5.1.6, 9.1.1.1.9; P-IAN-07)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_INSTANCE = 0x0111
    INVALID_VALUE = 0x0106
    INVALID_INSTANCE = 0x0117
    MISSING_ATTRIBUTE = 0x0120
    MISSING_VALUE = 0x0121
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700
    CANNOT_UNDERSTAND = 0xC000


_REFUSALS: Final[dict[int, tuple[str, str]]] = {
    Answer.INVALID_VALUE: ("Invalid attribute value", "a UID is malformed, or no such availability exists"),
    Answer.PROCESSING_FAILURE: ("Processing failure", "the data set can't be read, or the database can't be reached"),
    Answer.DUPLICATE_INSTANCE: ("Duplicate SOP instance", "another notification with this SOP Instance UID is kept"),
    Answer.INVALID_INSTANCE: ("Invalid object instance", "the SOP Instance UID is malformed"),
    Answer.MISSING_ATTRIBUTE: ("Missing attribute", "a required attribute is absent"),
    Answer.MISSING_VALUE: ("Missing attribute value", "a required attribute has no value"),
    Answer.RESOURCE_LIMITATION: ("Resource limitation", "the data set is longer than `limits.identifier`"),
    Answer.OUT_OF_RESOURCES: ("Out of resources", "of C-STORE: the data set is longer than `limits.identifier`"),
    Answer.CANNOT_UNDERSTAND: ("Cannot understand", "of C-STORE: an attribute or a value is missing or malformed"),
}
_KEPT: Final = ("Success", "the notification is kept")
ANSWERED: Final[Mapping[int, tuple[str, str]]] = MappingProxyType({Answer.SUCCESS: _KEPT, **_REFUSALS})
"""When each status is answered."""
ANSWERED_BY_PRESET: Final[Mapping[str, Mapping[int, tuple[str, str]]]] = MappingProxyType(
    {
        preset: MappingProxyType(
            {
                Answer.SUCCESS: ("Success", "the Instance Availability Notification is kept"),
                code: ("Success", "the Basic Study Content Notification is kept; its images are not looked for"),
                **_REFUSALS,
            }
        )
        for preset, code in STUDY_CONTENT_ANSWERS.items()
    }
)
SENT: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        0x0000: ("Success", "the peer is told; of study content also with 0001, 0002 and 0003"),
        0x0111: ("Duplicate SOP instance", "of availability: the peer was told before, and its answer was lost"),
        0x0107: ("Attribute list error", "the peer is told, as with any other warning"),
        0x0110: ("Processing failure", "it is told again later, as often as is set; so with 0213 and A7xx"),
        0x0122: ("SOP class not supported", "the notification has failed, as with any other status; an operator may "
                                            "have it sent again"),
    }
)  # fmt: skip
"""What is done about an answer to a notification of ours."""
PROPOSED: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        BASIC_STUDY_CONTENT_NOTIFICATION: (EXPLICIT_LE,),
        INSTANCE_AVAILABILITY_NOTIFICATION: (EXPLICIT_LE, IMPLICIT_LE),
    }
)
"""The transfer syntaxes that are proposed to tell peers, by SOP class (I-BSCN-04)."""

_WARNINGS: Final = frozenset({0x0001, 0x0107, 0x0116})
_PASSING: Final = frozenset({0x0110, 0x0213})
"""Failures of N-CREATE after which the same request may succeed."""


def is_told(kind: str, status: int) -> bool:
    """Whether a peer that answers so has the notification. One that has an instance of its UID already was told before
    and its answer was lost."""
    if kind == "study-content":
        return status in STUDY_CONTENT_SUCCESS or status >> 12 == 0xB or status in _WARNINGS
    return status in (Answer.SUCCESS, Answer.DUPLICATE_INSTANCE) or status in _WARNINGS


def may_pass(kind: str, status: int) -> bool:
    """Whether it is worth telling a peer again that answered so."""
    return status in _PASSING or (kind == "study-content" and status >> 8 == 0xA7)


def study_content_answer(preset: Preset, wanted: int | None) -> int:
    """What a Basic Study Content Notification is answered with: as configured, else as the preset has it."""
    return STUDY_CONTENT_ANSWERS.get(preset, Answer.SUCCESS) if wanted is None else wanted
