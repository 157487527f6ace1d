"""What a hosted AE offers: `declarations` narrowed by its settings.

The negotiator acts on it, the conformance statement prints it.
"""

from collections.abc import Iterable
from typing import Final

from isocenter.config.reconciling import OWN
from isocenter.config.settings import HostedAE
from isocenter.declarations import sop_classes
from isocenter.declarations.offers import RELATIONAL, Offering
from isocenter.declarations.transfer_syntaxes import NON_STORAGE, storage_order
from isocenter.dimse.negotiation import QueryExtras

_OF_ROLES: Final = {"reconcile": frozenset({"store", "notification"})}
"""What AEs of a role can offer at most, beside Verification; those of the others can all."""


def services_of(ae: HostedAE) -> frozenset[str]:
    """The services of an AE: those of its settings that its role can have."""
    return frozenset(ae.services) & _OF_ROLES.get(ae.role, frozenset(ae.services))


def worklists_of(ae: HostedAE) -> tuple[str, ...]:
    """The worklists that the studies of an AE are looked for in: titles of peers, and `OWN`; none where they are not
    looked for."""
    return ae.reconciling.worklists or ((OWN,) if ae.role == "reconcile" else ())


def accepts_storage(ae: HostedAE, abstract: str) -> bool:
    """Whether the AE takes objects of this class, or gives them back (I-ARCH-12)."""
    if not {"store", "get"} & services_of(ae) or not any(roles_left(ae, abstract)):
        return False
    if abstract in ae.classes:
        return True
    if ae.storage == "any":
        return not sop_classes.is_service(abstract)
    return ae.storage == "declared" and abstract in sop_classes.negotiable_for_storage()


def storage_syntaxes(ae: HostedAE) -> tuple[str, ...]:
    """The transfer syntaxes of storage contexts, in the AE's order of preference."""
    return ae.syntaxes or storage_order(ae.preset)


def syntaxes_of(ae: HostedAE, declared: Offering) -> tuple[str, ...]:
    """The transfer syntaxes in which the AE takes a class other than storage, in its order."""
    return tuple(dict.fromkeys((*NON_STORAGE, *storage_syntaxes(ae)))) if declared.stored else NON_STORAGE


def offers(ae: HostedAE, declared: Offering) -> bool:
    """Whether the AE has the service that `declared` belongs to."""
    return not declared.service or (declared.service in services_of(ae) and any(roles_left(ae, declared.uid)))


def roles_left(ae: HostedAE, abstract: str) -> tuple[bool, bool]:
    """The roles, (scu, scp), that the AE's own list of SOP classes leaves its peers; without a list both."""
    return roles_of(ae.sop_classes, abstract) if ae.sop_classes else (True, True)


def extras_of(ae: HostedAE, declared: Offering) -> QueryExtras | None:
    """What the AE agrees to by extended negotiation of a class; None where there is nothing to agree on."""
    if not declared.extras or not ae.extended_negotiation:
        return None
    return QueryExtras(**{extra: extra != RELATIONAL or ae.relational for extra in declared.extras})


def roles_of(listed: Iterable[str], abstract: str) -> tuple[bool, bool]:
    """The roles, (scu, scp), that a list of `UID`, `UID:scu` and `UID:scp` leaves a peer for an abstract syntax."""
    roles = {role for uid, _, role in (entry.partition(":") for entry in listed) if uid == abstract}
    return not roles.isdisjoint(("", "scu")), not roles.isdisjoint(("", "scp"))
