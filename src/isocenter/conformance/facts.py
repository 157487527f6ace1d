"""What is true of each Application Entity of an installation: its activities and their presentation contexts.

From the same declarations and settings that the negotiator acts on (C-GEN-02 to -07).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from isocenter.config import HostedAE, Settings
from isocenter.config.offered import (
    accepts_storage,
    extras_of,
    offers,
    roles_left,
    storage_syntaxes,
    syntaxes_of,
    worklists_of,
)
from isocenter.config.reconciling import OWN
from isocenter.declarations import sop_classes
from isocenter.declarations.activities import COMMANDS, HOSTED, RECONCILE, Activity, Commitment
from isocenter.declarations.offers import OFFERINGS, PROPOSED_SYNTAXES, Offering
from isocenter.declarations.overview import STORAGE_SERVICE, STORAGE_SERVICE_NAME
from isocenter.declarations.statuses import Service
from isocenter.declarations.transfer_syntaxes import NON_STORAGE, all_syntaxes
from isocenter.dicom import uids
from isocenter.dimse.negotiation import QueryExtras

Role: TypeAlias = Literal["SCU", "SCP", "BOTH"]
COMMAND_TITLE = "ISOCENTER-CLI"
"""The calling title of the commands unless another is given."""
_STANDARD = "1.2.840.10008."
_EXTRAS = {
    "relational": "relational queries and retrievals",
    "combined_date_time": "combined date-time matching",
    "fuzzy_names": "fuzzy semantic matching of person names",
    "timezone": "timezone query adjustment",
    "enhanced_multiframe": "enhanced multi-frame image conversion",
}


class Context(NamedTuple):
    """A presentation context that an AE accepts or proposes. `role` is its own."""

    uid: str
    syntaxes: tuple[str, ...]
    role: Role
    extended: str = ""

    @property
    def name(self) -> str:
        """The class's name."""
        return name_of(self.uid)


@dataclass(frozen=True, slots=True)
class Entity:
    """One AE of the statement: a hosted one, or (without `ae`) that of the commands."""

    name: str
    title: str
    activities: tuple[Activity, ...]
    ports: tuple[int, ...] = ()
    ae: HostedAE | None = None

    @property
    def initiating(self) -> tuple[Activity, ...]:
        """The activities for which it opens associations."""
        return tuple(activity for activity in self.activities if activity.initiates)

    @property
    def accepting(self) -> tuple[Activity, ...]:
        """The activities for which it accepts associations."""
        return tuple(activity for activity in self.activities if not activity.initiates)


def name_of(uid: str) -> str:
    """A UID's name in the registry of PS3.6, with our own list for what is private there; retired ones say so."""
    entry = next((e for e in (uids.registry().get(uid), sop_classes.registry().get(uid)) if e and e.name != uid), None)
    if entry is None:
        return STORAGE_SERVICE_NAME if uid == STORAGE_SERVICE else uid
    return f"{entry.name} (Retired)" if entry.retired and "Retired" not in entry.name else entry.name


def entities(settings: Settings, title: str = "") -> list[Entity]:
    """The AEs of an installation; with `title` that one alone, and the commands in any case."""
    hosted = [_hosted(settings, ae) for ae in settings.aes if title in ("", ae.title)]
    return [*hosted, Entity("Command Line", COMMAND_TITLE, COMMANDS)]


def _hosted(settings: Settings, ae: HostedAE) -> Entity:
    served = {offering.service for offering in OFFERINGS.values() if offers(ae, offering)}
    if any(True for _ in storage_classes(ae)):
        served |= {"store"} & set(ae.services)
    entity = Entity("", ae.title, (), ae=ae)
    activities = tuple(a for a in HOSTED if a.service in served and contexts(entity, a))
    if set(worklists_of(ae)) - {OWN}:
        activities = (*activities, RECONCILE)
    return Entity(f"{ae.role.capitalize()} {ae.title}", ae.title, activities, ae.ports or (settings.dicom_port,), ae)


def storage_classes(ae: HostedAE) -> Iterator[str]:
    """The storage classes that an AE names, in the order of the registry and then as the settings list them."""
    listed = dict.fromkeys((*sorted(sop_classes.negotiable_for_storage(), key=_by_number), *ae.classes))
    return (uid for uid in listed if accepts_storage(ae, uid) and uid not in OFFERINGS)


def _by_number(uid: str) -> tuple[bool, tuple[int, ...]]:
    """The standard's before private ones, each in the order of their numbers."""
    return not uid.startswith(_STANDARD), tuple(int(part) for part in uid.split(".") if part.isdigit())


def accepted(ae: HostedAE, activity: Activity) -> list[Context]:
    """The contexts that an AE accepts for an activity."""
    if activity.commitment is not None:
        return _commitment(ae, activity.commitment)
    found = [_declared(ae, offering) for offering in OFFERINGS.values() if offering.service == activity.service]
    contexts = [context for context in found if context is not None]
    if activity.storage:
        contexts += _storage(ae, "SCP")
    elif activity.dimse is Service.GET:
        contexts += _storage(ae, "SCU")
    return contexts


def _declared(ae: HostedAE, offering: Offering) -> Context | None:
    scu, scp = roles_left(ae, offering.uid) if offering.service else (True, True)
    scu, scp = scu and offering.scu, scp and offering.scp
    if not offers(ae, offering) or not (scu or scp):
        return None
    role: Role = "BOTH" if scu and scp else "SCP" if scu else "SCU"
    return Context(offering.uid, syntaxes_of(ae, offering), role, extended_text(extras_of(ae, offering)))


def _commitment(ae: HostedAE, part: Commitment) -> list[Context]:
    """Requests come to us as SCP, reports on our own requests as SCU."""
    scu, scp = roles_left(ae, uids.STORAGE_COMMITMENT_PUSH)
    offering = OFFERINGS[uids.STORAGE_COMMITMENT_PUSH]
    able = scu and offering.scu if part is Commitment.ANSWER else scp and offering.scp
    role: Role = "SCP" if part is Commitment.ANSWER else "SCU"
    return [Context(offering.uid, NON_STORAGE, role)] if able and offers(ae, offering) else []


def _storage(ae: HostedAE, role: Role) -> list[Context]:
    """Storage contexts: as SCP for what is sent to us, as SCU for what a requestor of C-GET wants."""
    syntaxes = storage_syntaxes(ae)
    wanted = 0 if role == "SCP" else 1  # the peer has the other role
    return [Context(uid, syntaxes, role) for uid in storage_classes(ae) if roles_left(ae, uid)[wanted]]


def extended_text(extras: QueryExtras | None) -> str:
    """Extended negotiation in words; empty for none."""
    if extras is None:
        return ""
    return ", ".join(text for field, text in _EXTRAS.items() if getattr(extras, field))


def proposed(entity: Entity, activity: Activity) -> list[Context]:
    """The contexts that an AE proposes for an activity: those that instances in its hands may call for."""
    match activity.dimse:
        case Service.STORE:
            return [Context(uid, all_syntaxes(), "SCU") for uid in _every_storage_class(entity.ae)]
        case Service.ECHO:
            return [Context(uids.VERIFICATION, PROPOSED_SYNTAXES, "SCU")]
        case Service.WORKLIST:
            asked_in = (uids.EXPLICIT_LE,) if entity.ae is not None else PROPOSED_SYNTAXES  # I-REC-02
            return [Context(uids.MODALITY_WORKLIST_FIND, asked_in, "SCU")]
        case Service.FIND | Service.MOVE | Service.GET:
            # the commands know the information models with levels, which are those with something to negotiate
            models = [each for each in OFFERINGS.values() if each.service == activity.dimse and each.extras]
            own = [_asked(offering) for offering in models]
            if activity.dimse is not Service.GET:
                return own
            # before, the peer is asked for the SOP classes that the studies have
            combined = extended_text(QueryExtras(relational=True, combined_date_time=True))
            models = [each for each in OFFERINGS.values() if each.service == Service.FIND and each.extras]
            queried = [_asked(each)._replace(extended=combined) for each in models]
            return [*own, *queried, *(Context(uid, all_syntaxes(), "SCP") for uid in _every_storage_class(None))]
    if (normalized := activity.normalized) is not None:
        proposes = normalized.syntaxes
        own_role: Role = "SCP" if normalized.scp else "SCU"
        return [Context(uid, proposes.get(uid, NON_STORAGE), own_role) for uid in normalized.classes]
    role: Role = "SCP" if activity.commitment is Commitment.REPORT else "SCU"
    return [Context(uids.STORAGE_COMMITMENT_PUSH, NON_STORAGE, role)]


def _asked(offering: Offering) -> Context:
    return Context(offering.uid, PROPOSED_SYNTAXES, "SCU", extended_text(QueryExtras(relational=True)))


def _every_storage_class(ae: HostedAE | None) -> list[str]:
    """What may be stored, and so be sent: every storage class that is known."""
    further = ae.classes if ae else ()
    return list(dict.fromkeys((*sorted(sop_classes.storage_classes(), key=_by_number), *further)))


class ClassRow(NamedTuple):
    """A SOP class with the roles of an AE."""

    uid: str
    scu: bool
    scp: bool


def classes(entity: Entity) -> list[ClassRow]:
    """The SOP classes of an AE over all its activities, services first."""
    roles: dict[str, set[Role]] = {}
    for activity in entity.activities:
        for context in contexts(entity, activity):
            roles.setdefault(context.uid, set()).add(context.role)
    rows = [ClassRow(uid, bool(r & {"SCU", "BOTH"}), bool(r & {"SCP", "BOTH"})) for uid, r in roles.items()]
    return sorted(rows, key=lambda row: (sop_classes.is_storage(row.uid), _by_number(row.uid)))


def contexts(entity: Entity, activity: Activity) -> list[Context]:
    """The contexts of an activity, proposed or accepted."""
    if activity.initiates or entity.ae is None:
        return proposed(entity, activity)
    return accepted(entity.ae, activity)
