"""Looking at an object before it is kept: the validation levels of an AE (I-STORE-08, I-CHAR-06, X-QR F.4.2).

    none      nothing but what filing needs: identity as in the command, study and series named
    minimal   and UIDs that are legal, identifying attributes there, values that fit their VR
    iod       and the attributes of types 1 and 2 of the modules that the SOP class needs

What is found makes a warning (B007) or a refusal (A900), as the AE has it. Which checks are made is decided once an
association; where there are none an object costs nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from isocenter.archive.validation.iod import required_attributes
from isocenter.archive.validation.values import Incoming, minimal
from isocenter.config.settings import HostedAE
from isocenter.dicom import charset
from isocenter.errors import Reason, Refused

__all__ = ["Check", "Incoming", "Inspection", "inspection_of", "supported_character_set"]

SPECIFIC_CHARACTER_SET: Final = 0x00080005
_COMMENT: Final = 64
"""Characters of an Error Comment (PS3.7 C.4.2)."""

Check = Callable[[Incoming], Sequence[str]]
"""What is wrong, in words without patient data; nothing where all is well. Raises Refused where it must not be kept,
MalformedDataSet where it can't be read."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """The checks that an AE makes of what it receives."""

    checks: tuple[Check, ...]
    refuse: bool = False

    def remark(self, incoming: Incoming) -> str:
        """What is to be told of an object that is kept; '' if nothing. Raises Refused, SOP_CLASS_MISMATCH where the AE
        does not keep what has faults."""
        found = list(dict.fromkeys(finding for check in self.checks for finding in check(incoming)))
        if not found:
            return ""
        more = f" (+{len(found) - 1})" if len(found) > 1 else ""
        comment = found[0][: _COMMENT - len(more)] + more
        if self.refuse:
            raise Refused(Reason.SOP_CLASS_MISMATCH, comment)
        return comment


@lru_cache(maxsize=64)
def inspection_of(ae: HostedAE, tables: Check | None = None) -> Inspection | None:
    """The checks of an AE; None where it makes none. `tables` checks with the whole standard's tables, at level `iod`,
    where the installation has them."""
    checks: list[Check] = []
    if ae.unknown_character_set == "refuse":
        checks.append(supported_character_set)
    if ae.validation != "none":
        checks.append(minimal)
    if ae.validation == "iod":
        checks += [required_attributes, *([tables] if tables else [])]
    return Inspection(tuple(checks), ae.validation_failure == "refuse") if checks else None


def supported_character_set(incoming: Incoming) -> Sequence[str]:
    """Raises Refused(CANNOT_UNDERSTAND) where Specific Character Set names an unknown one (I-CHAR-06, I-STORE-10)."""
    element = incoming.scan.elements.get(SPECIFIC_CHARACTER_SET)
    if element is not None and charset.unknown_terms(element.value.strip(b" \0")):
        raise Refused(Reason.CANNOT_UNDERSTAND, "the Specific Character Set is not supported")
    return ()
