"""Which presentation contexts a job needs, and which of the accepted ones carries an object.

I-SEND-01 to -05, M-SEND-03. For each SOP class: one context for each transfer syntax that its objects are stored in, so
that a peer can accept each on its own and objects leave byte for byte, one for each that the peer's priority list
names, and one with the remaining native syntaxes to fall back on. A job of more than 128 contexts is split over
associations.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from isocenter.config.settings import Peer
from isocenter.declarations.sop_classes import SUBSTITUTES
from isocenter.dicom.uids import EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE, transfer_syntax
from isocenter.imaging.plan import may_transcode

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


class Wish(NamedTuple):
    """What a peer would have us send (`config.settings.Peer`)."""

    preferred: tuple[str, ...] = ()
    """Transfer syntaxes that it prefers to others where an object's own was not accepted."""
    priority: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """For a stored transfer syntax those to send it in, in order (I-SEND-05)."""
    joined: bool = False
    """One context a SOP class with all syntaxes, from which the peer chooses (X-QR-04)."""
    substitutes: bool = False
    """A class may be proposed and sent as its substitute (X-QR-05)."""
    lossy: bool = False
    """What it names may lose."""
    decompress: bool = False
    """Compressed objects go out native where they can (S-DCM-04)."""

    def listed_for(self, stored: str) -> tuple[str, ...]:
        """The priority list of a stored transfer syntax, as far as it can be brought into those, without loss unless
        the peer takes that."""
        listed = next((send for syntax, send in self.priority if syntax == stored), ())
        return tuple(syntax for syntax in listed if may_transcode(stored, syntax, lossy=self.lossy))

    def order_of(self, stored: str) -> tuple[str, ...]:
        """What to send a stored transfer syntax in before all others: what is listed for it, or native ones."""
        listed = self.listed_for(stored)
        if listed or not self.decompress or not transfer_syntax(stored).encapsulated:
            return listed
        return tuple(s for s in (*self.preferred, *_FALLBACK) if not transfer_syntax(s).encapsulated)

    def may_send(self, stored: str, syntax: str) -> bool:
        """Whether an object may go from one transfer syntax to the other."""
        named = self.lossy and (syntax in self.preferred or syntax in self.listed_for(stored))
        return may_transcode(stored, syntax, lossy=named)


Preferred: TypeAlias = Sequence[str] | Wish
"""A peer's wish, or only what it prefers."""


def wish_of(peer: Peer) -> Wish:
    """What is configured for a peer."""
    priority = tuple((one.stored, one.send) for one in peer.syntax_priority)
    return Wish(
        peer.syntaxes, priority, peer.contexts == "joined", peer.substitute_classes, peer.lossy, peer.decompress
    )


def substitute(sop_class: str, preferred: Preferred) -> str:
    """The class that objects of `sop_class` may be sent as where the peer lacks that; '' for none."""
    return SUBSTITUTES.get(sop_class, "") if _wish(preferred).substitutes else ""


def _wish(preferred: Preferred) -> Wish:
    return preferred if isinstance(preferred, Wish) else Wish(tuple(preferred))


def proposals(kinds: Iterable[Kind], *, preferred: Preferred = ()) -> list[list[Proposal]]:
    """The contexts for objects of `kinds`, a list an association; a SOP class is never split over two.

    `preferred` native syntaxes come first in the context to fall back on (I-SEND-05).
    """
    wish = _wish(preferred)
    stored: dict[str, list[str]] = {}
    for sop_class, syntax in dict.fromkeys(kinds):
        stored.setdefault(sop_class, []).append(syntax)
    groups: list[list[Proposal]] = [[]]
    for sop_class, syntaxes in sorted(stored.items()):
        wanted = _for_class(sop_class, sorted(syntaxes), wish)[:LIMIT]
        if len(groups[-1]) + len(wanted) > LIMIT:
            groups.append([])
        groups[-1].extend(wanted)
    return groups


def _for_class(sop_class: str, stored: list[str], wish: Wish) -> list[Proposal]:
    """The fall-back goes along with encapsulated objects too: it is what such a peer would take (I-SEND-03)."""
    alone = list(dict.fromkeys([*stored, *(syntax for each in stored for syntax in wish.listed_for(each))]))
    natives = [s for s in dict.fromkeys((*wish.preferred, *_FALLBACK)) if not transfer_syntax(s).encapsulated]
    rest = tuple(s for s in natives if s not in alone)
    lists = [(*alone, *rest)] if wish.joined else [*((syntax,) for syntax in alone), *([rest] if rest else [])]
    classes = [one for one in (sop_class, substitute(sop_class, wish)) if one]
    return [Proposal(one, syntaxes) for one in classes for syntaxes in lists]


def choose(accepted: Mapping[str, Sequence[Choice]], kind: Kind, *, preferred: Preferred = ()) -> Choice | None:
    """The context for one object: the first of the peer's priority list for its stored syntax, else that syntax as it
    is, else a preferred, else a native, else any one that it can be brought into without loss; None where the peer took
    nothing that fits. What loses is followed only where the peer's wish names it and allows that."""
    sop_class, stored = kind
    wish = _wish(preferred)
    offers = {choice.syntax: choice for choice in reversed(accepted.get(sop_class, ()))}
    order = (*wish.order_of(stored), stored, *wish.preferred, *_FALLBACK, *offers)
    return next((offers[s] for s in order if s in offers and wish.may_send(stored, s)), None)
