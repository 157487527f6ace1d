"""Which presentation contexts a job needs, and which of the accepted ones carries an object.

I-SEND-01 to -05, M-SEND-03. For each SOP class: one context for each transfer syntax that its objects are stored in, so
that a peer can accept each on its own and objects leave byte for byte, and one with the remaining native syntaxes to
fall back on. A job of more than 128 contexts is split over associations.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from isocenter.dicom import convert
from isocenter.dicom.uids import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, transfer_syntax

Kind = tuple[str, str]
"""(SOP Class UID, stored Transfer Syntax UID)."""

LIMIT = 128
"""Contexts of an association: their ids are the odd numbers below 256 (PS3.8 9.3.2.2)."""
_FALLBACK = (EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE)


class Proposal(NamedTuple):
    """One context to propose."""

    sop_class: str
    syntaxes: tuple[str, ...]


class Choice(NamedTuple):
    """The accepted context that an object goes out on; `syntax` is what it has to be in."""

    context_id: int
    syntax: str


def proposals(kinds: Iterable[Kind], *, preferred: Sequence[str] = ()) -> list[list[Proposal]]:
    """The contexts for objects of `kinds`, a list an association; a SOP class is never split over two.

    `preferred` native syntaxes come first in the context to fall back on (I-SEND-05).
    """
    stored: dict[str, list[str]] = {}
    for sop_class, syntax in dict.fromkeys(kinds):
        stored.setdefault(sop_class, []).append(syntax)
    groups: list[list[Proposal]] = [[]]
    for sop_class, syntaxes in sorted(stored.items()):
        wanted = _for_class(sop_class, sorted(syntaxes), preferred)[:LIMIT]
        if len(groups[-1]) + len(wanted) > LIMIT:
            groups.append([])
        groups[-1].extend(wanted)
    return groups


def _for_class(sop_class: str, stored: list[str], preferred: Sequence[str]) -> list[Proposal]:
    """The fall-back goes along with encapsulated objects too: it is what such a peer would take (I-SEND-03)."""
    own = [Proposal(sop_class, (syntax,)) for syntax in stored]
    natives = [s for s in dict.fromkeys((*preferred, *_FALLBACK)) if not transfer_syntax(s).encapsulated]
    rest = tuple(s for s in natives if s not in stored)
    return [*own, Proposal(sop_class, rest)] if rest else own


def choose(accepted: Mapping[str, Sequence[Choice]], kind: Kind, *, preferred: Sequence[str] = ()) -> Choice | None:
    """The context for one object: its stored syntax as it is, else a preferred, else any native one that it can be
    converted to without loss; None where the peer took nothing that fits."""
    sop_class, stored = kind
    offers = {choice.syntax: choice for choice in reversed(accepted.get(sop_class, ()))}
    if stored in offers:
        return offers[stored]
    order = (*preferred, *_FALLBACK, *offers)
    return next((offers[s] for s in order if s in offers and convert.can_convert(stored, s)), None)
