"""Section 4.2.x: all about one Application Entity (C-TPL-4.2.x)."""

from isocenter.config import Settings
from isocenter.conformance.activity import accepted_activity, initiated_activity
from isocenter.conformance.contexts import list_tables, syntax_lists
from isocenter.conformance.facts import Entity, classes, name_of
from isocenter.conformance.front import yes
from isocenter.conformance.model import Block, Bullets, Paragraph, Section, Table
from isocenter.conformance.templates import table
from isocenter.declarations.transfer_syntaxes import CHOICES
from isocenter.dicom import uids


def specification(settings: Settings, entity: Entity, number: str) -> Section:
    """The AE's section, which has the number `number`."""
    lists = syntax_lists(entity)
    return Section(
        f"{entity.name} AE Specification",
        sections=(
            _classes(settings, entity, number),
            _policies(settings, entity, number),
            Section(
                "Association Initiation Policy",
                (Paragraph(_initiates(entity)),),
                tuple(
                    initiated_activity(entity, activity, f"{number}.3.{n}", lists)
                    for n, activity in enumerate(entity.initiating, 1)
                ),
                role="4.2.x.3",
            ),
            Section(
                "Association Acceptance Policy",
                _acceptance(settings, entity),
                tuple(
                    accepted_activity(settings, entity, activity, f"{number}.4.{n}", lists)
                    for n, activity in enumerate(entity.accepting, 1)
                ),
                role="4.2.x.4",
            ),
        ),
        role="4.2.x",
    )


def _classes(settings: Settings, entity: Entity, number: str) -> Section:
    rows = [(name_of(row.uid), row.uid, yes(row.scu), yes(row.scp)) for row in classes(entity)]
    blocks: list[Block] = [
        Paragraph(f"The {entity.name} AE provides Standard Conformance to the following SOP classes."),
        table("sop-classes", f"Table {number}.1-1. SOP classes of {entity.title}", rows, ae=entity.title),
    ]
    ae = entity.ae
    if ae is not None and ae.storage == "any" and not ae.sop_classes and "store" in ae.services:
        blocks.insert(
            1,
            Paragraph(
                "As a storage SCP it accepts every other abstract syntax too that is not known to belong to another "
                "service: storage classes that are newer than this program, standard extended, specialized and private "
                "ones, with or without SOP class common extended negotiation. Instances of them are kept and given "
                "back as they came."
            ),
        )
    return Section("SOP Classes", (*blocks, *list_tables(entity, number)), role="4.2.x.1")


def _policies(settings: Settings, entity: Entity, number: str) -> Section:
    ae, limits = entity.ae, settings.limits
    general = [
        table(
            "application-context",
            f"Table {number}.2-1. DICOM application context",
            [("Application Context Name", uids.APPLICATION_CONTEXT)],
            ae=entity.title,
        ),
        table(
            "pdu-size",
            f"Table {number}.2-2. Maximum PDU size received",
            [("Maximum PDU size received", f"{(ae and ae.max_pdu) or limits.max_pdu} bytes")],
            ae=entity.title,
        ),
    ]
    implementation = table(
        "implementation",
        f"Table {number}.2-6. Implementation class and version",
        [(uids.IMPLEMENTATION_CLASS_UID, uids.IMPLEMENTATION_VERSION_NAME)],
        ae=entity.title,
    )
    version = Paragraph("The version name changes with each release of the program; the class UID does not.")
    return Section(
        "Association Policies",
        sections=(
            Section("General", tuple(general), role="4.2.x.2.1"),
            Section("Number of Associations", tuple(_numbers(settings, entity, number)), role="4.2.x.2.2"),
            Section("Asynchronous Nature", tuple(_window(entity, number)), role="4.2.x.2.3"),
            Section("Implementation Identifying Information", (implementation, version), role="4.2.x.2.4"),
        ),
        role="4.2.x.2",
    )


_SIMULTANEOUS = "Maximum number of simultaneous associations"
_OUTSTANDING = "Maximum number of outstanding asynchronous transactions"


def _numbers(settings: Settings, entity: Entity, number: str) -> list[Paragraph | Table]:
    ae, limits = entity.ae, settings.limits
    initiated = "as many as are asked for; 4 to one peer unless set otherwise" if ae else "1 to 32, as the command says"
    found: list[Paragraph | Table] = [
        table(
            "associations-initiated",
            f"Table {number}.2-3. Associations as initiator",
            [(_SIMULTANEOUS, initiated)],
            ae=entity.title,
        )
    ]
    if ae is None:
        return found
    accepted = f"{ae.associations or limits.associations}"
    found.append(
        table(
            "associations-accepted",
            f"Table {number}.2-4. Associations as acceptor",
            [(_SIMULTANEOUS, accepted)],
            ae=entity.title,
        )
    )
    per_address = ae.associations_per_address or limits.associations_per_address
    found.append(
        Paragraph(
            f"All AEs together accept {limits.associations} at once"
            + (f", and no more than {per_address} from one address." if per_address else ", from whatever addresses.")
            + " The associations that are opened to one peer are counted over all processes of the machine; whoever "
            "needs one more waits for a while."
        )
    )
    return found


def _window(entity: Entity, number: str) -> list[Paragraph | Table]:
    ae = entity.ae
    invoked = ae.window.invoked if ae else 1
    title = f"Table {number}.2-5. Asynchronous nature as initiator"
    found: list[Paragraph | Table] = [
        table("asynchronous", title, [(_OUTSTANDING, "any number" if invoked == 0 else str(invoked))], ae=entity.title)
    ]
    if ae is not None:
        performed = "any number of" if ae.window.performed == 0 else f"up to {ae.window.performed}"
        found.append(
            Paragraph(
                f"As acceptor the AE agrees to {performed} operations of the requestor at once, where the asynchronous "
                "operations window is negotiated."
            )
        )
    return found


def _initiates(entity: Entity) -> str:
    if not entity.initiating:
        return f"The {entity.name} AE does not initiate associations."
    names = ", ".join(activity.name for activity in entity.initiating)
    return f"The {entity.name} AE initiates associations for these activities: {names}."


def _acceptance(settings: Settings, entity: Entity) -> tuple[Paragraph | Bullets, ...]:
    ae = entity.ae
    if ae is None:
        return (Paragraph(f"The {entity.name} AE does not accept associations."),)
    choice = ae.syntax_choice or CHOICES[ae.preset]
    whose = "this AE's order of preference" if choice == "acceptor" else "the order in which they were proposed"
    return (
        Paragraph(who_may_call(settings, entity)),
        Paragraph("These rules hold for the presentation contexts of an association:"),
        Bullets(
            (
                "Each proposed context is decided on by itself: its abstract syntax by the tables below and by what "
                "the calling peer is allowed, its transfer syntax by the list for that abstract syntax. Any "
                "combination that the tables allow is accepted, and the same abstract syntax in any number of "
                "contexts.",
                f"Of several acceptable transfer syntaxes in one context the first is chosen in {whose}. Where the "
                "requestor is only to receive (C-GET), its own order counts.",
                "No context has priority over another.",
                "An association of which no context is acceptable is "
                + ("rejected." if ae.reject_empty else "accepted all the same, without any."),
            )
        ),
    )


_LEVELS = {
    "open": "Anyone may open an association; a peer that is known gets what it is allowed all the same.",
    "known-titles": "Only callers with the title of a known peer may open an association.",
    "known-peers": "Only known peers may open an association: the calling title has to be known, and the address one "
    "of that peer's.",
    "named-classes": "Only known peers may open an association, from their addresses, and each gets only the SOP "
    "classes and roles that are named for it.",
}


def who_may_call(settings: Settings, entity: Entity) -> str:
    """The AE's policy in a sentence (C-TPL-7.2)."""
    assert entity.ae is not None
    return _LEVELS[settings.policy_of(entity.ae)]
