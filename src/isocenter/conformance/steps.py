"""What the statement says of performed procedure steps beside statuses and events (PS3.4 F.7.4)."""

from isocenter.config import HostedAE
from isocenter.conformance.facts import Entity
from isocenter.conformance.model import Block, Bullets
from isocenter.conformance.queries import tags
from isocenter.conformance.templates import table
from isocenter.declarations.activities import FORWARD_STEPS, STEPS, Activity
from isocenter.declarations.procedure_step import ATTRIBUTES, COERCED, MPPS, Required
from isocenter.dicom.dictionary import keyword_of, vr_of

_TYPES = {"-": "not allowed"}
_KEPT = "kept, given back by N-GET"


def step_blocks(entity: Entity, activity: Activity, number: str) -> list[Block]:
    """Attributes and behaviour of an activity that is about steps; nothing for others."""
    if activity is STEPS:
        assert entity.ae is not None
        return [Bullets(_behaviour(entity.ae)), _received(entity, number)]
    own = activity.normalized
    if activity is FORWARD_STEPS or (entity.ae is None and own is not None and MPPS in own.classes):
        return [_sent(entity, activity, number)]
    return []


def _behaviour(ae: HostedAE) -> tuple[str, ...]:
    """What becomes of a step and of the worklist (F.7.4.2.1)."""
    wanted = ae.mpps
    lacking = {
        "flag": "A message that lacks attributes or values of type 1 or 2 is accepted; the step tells what is amiss.",
        "refuse": "A message that lacks attributes or values of type 1 or 2 is refused.",
    }
    unmatched = {
        "exception": "One that names an order which the worklist does not hold waits for a person.",
        "accept": "One that names an order which the worklist does not hold is taken as it is.",
    }
    known = {
        "refuse": "An N-CREATE of a SOP Instance UID that is known is refused.",
        "supplement": "An N-CREATE of a SOP Instance UID that is known supplements the step.",
    }
    coerced = ", ".join(keyword_of(rule.path[-1]) for rule in COERCED if not rule.corrected)
    kept = f"{wanted.kept} days after the last message" if wanted.kept else "without limit of time"
    return (
        lacking[wanted.checks],
        f"A new step sets the worklist items that it names to {_state(wanted.started)}: those of its patient with the "
        "Accession Number, else the Study Instance UID, else the ids that its Scheduled Step Attributes Sequence has. "
        f"{unmatched[wanted.unmatched]}",
        f"COMPLETED sets them to {_state(wanted.completed)}, DISCONTINUED to {_state(wanted.discontinued)}. An item "
        "that is completed stays so where another step is appended to it.",
        f"These take the worklist's values where they differ: {coerced}."
        if wanted.coercion
        else "Values of a step are not coerced, but where a person settles an exception.",
        known[wanted.known],
        f"A step is kept {kept}.",
    )


def _state(name: str) -> str:
    return name or "no other state"


def _received(entity: Entity, number: str) -> Block:
    rows = [
        (_name(rule), tags(rule.path), _TYPES.get(rule.create, rule.create), _set(rule), _use(rule))
        for rule in ATTRIBUTES
    ]
    rows.append(("All other attributes", "any", "3", "3", _KEPT))
    title = f"Table {number}-5. Attributes of N-CREATE and N-SET"
    return table("procedure-step-attributes", title, rows, ae=entity.title, about=STEPS.name)


def _use(rule: Required) -> str:
    """What an attribute does beside being kept."""
    if rule.path in (each.path for each in COERCED):
        corrected = next(each.corrected for each in COERCED if each.path == rule.path)
        return f"{_KEPT}; {'when an exception is settled' if corrected else 'with `mpps.coercion`'} the worklist's"
    return _KEPT


def _sent(entity: Entity, activity: Activity, number: str) -> Block:
    source = "as received" if activity is FORWARD_STEPS else "as given"
    rows = [
        (_name(rule), tags(rule.path), vr_of(rule.path[-1]), source, source if rule.set != "-" else "")
        for rule in ATTRIBUTES
    ]
    rows.append(("All other attributes", "any", "any", source, source))
    title = f"Table {number}-5. Attributes of N-CREATE and N-SET"
    return table("procedure-step-request", title, rows, ae=entity.title, about=activity.name)


def _name(rule: Required) -> str:
    return f"{'> ' * (len(rule.path) - 1)}{keyword_of(rule.path[-1])}"


def _set(rule: Required) -> str:
    told = _TYPES.get(rule.set, rule.set)
    return f"{told}; {rule.final} when it ends" if rule.final not in ("3", rule.set) else told
