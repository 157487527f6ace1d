"""Sections 4.2.x.3.y and 4.2.x.4.y: one real-world activity of an AE, initiated or accepted."""

from isocenter.config import Settings
from isocenter.conformance import storing
from isocenter.conformance.contexts import Lists, context_row, extended_table
from isocenter.conformance.diagrams import Message, sequence
from isocenter.conformance.facts import Entity, contexts
from isocenter.conformance.model import Block, Figure, Paragraph, Section
from isocenter.conformance.queries import asked_tables, key_tables
from isocenter.conformance.responses import answer_tables, failure_table, reaction_tables, rejection_table
from isocenter.conformance.steps import step_blocks
from isocenter.conformance.templates import table
from isocenter.declarations.activities import LOCAL, Activity
from isocenter.declarations.statuses import Service


def initiated_activity(entity: Entity, activity: Activity, number: str, lists: Lists) -> Section:
    """An activity for which the AE opens the association."""
    rows = contexts(entity, activity)
    title = f"Table {number}-1. Proposed presentation contexts, {activity.name}"
    shown = [context_row(row, lists) for row in rows]
    proposed: list[Block] = [
        *storing.proposing(activity),
        table("proposed-contexts", title, shown, ae=entity.title, about=activity.name),
        *extended_table("extended-scu", f"Table {number}-2. Extended negotiation as a SCU", entity, activity, rows),
    ]
    specific: list[Block] = [
        *storing.as_scu(activity),
        *asked_tables(entity, activity, number),
        *step_blocks(entity, activity, number),
        *reaction_tables(entity, activity, number),
        failure_table(entity, activity, number, scu=True),
    ]
    return _section(entity, activity, number, "3", proposed, specific)


def accepted_activity(settings: Settings, entity: Entity, activity: Activity, number: str, lists: Lists) -> Section:
    """An activity for which the AE expects the association."""
    assert entity.ae is not None
    rows = contexts(entity, activity)
    title = f"Table {number}-1. Acceptable presentation contexts, {activity.name}"
    shown = [context_row(row, lists) for row in rows]
    accepted: list[Block] = [
        *storing.accepting(entity.ae, activity),
        table("accepted-contexts", title, shown, ae=entity.title, about=activity.name),
        *extended_table("extended-scp", f"Table {number}-2. Extended negotiation as a SCP", entity, activity, rows),
    ]
    specific: list[Block] = [
        *storing.as_scp(settings, entity.ae, activity),
        *key_tables(settings, entity, activity, number),
        *step_blocks(entity, activity, number),
        *answer_tables(entity, activity, number),
        failure_table(entity, activity, number, scu=False),
    ]
    return _section(entity, activity, number, "4", accepted, specific)


def _section(
    entity: Entity, activity: Activity, number: str, branch: str, shown: list[Block], specific: list[Block]
) -> Section:
    role = f"4.2.x.{branch}.y"
    name = "Proposed Presentation Contexts" if branch == "3" else "Accepted Presentation Contexts"
    rejections = [rejection_table(entity, activity, number)] if branch == "4" and activity.dimse is Service.ECHO else []
    return Section(
        f"Activity: {activity.name}",
        sections=(
            Section(
                "Description and Sequencing of Activities",
                (Paragraph(activity.summary), _figure(entity, activity, number), *rejections),
                role=f"{role}.1",
            ),
            Section(name, tuple(shown), role=f"{role}.2"),
            Section("SOP Specific Conformance", tuple(specific), role=f"{role}.3"),
        ),
        role=role,
    )


def _figure(entity: Entity, activity: Activity, number: str) -> Figure:
    messages = [
        Message(_named(step.sender, entity), _named(step.receiver, entity), step.text) for step in activity.steps
    ]
    told = "; ".join(
        f"{m.sender}: {m.text}" if m.sender == m.receiver else f"{m.sender} to {m.receiver}: {m.text}" for m in messages
    )
    return Figure(f"Figure {number}-1. Sequence of {activity.name}", sequence(messages), f"In order: {told}.")


def _named(participant: str, entity: Entity) -> str:
    return entity.title if participant == LOCAL else participant
