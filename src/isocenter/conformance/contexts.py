"""Rows of the tables of presentation contexts and of extended negotiation."""

from collections.abc import Sequence
from typing import TypeAlias

from isocenter.conformance.facts import Context, Entity, contexts, name_of
from isocenter.conformance.model import Row, Table
from isocenter.conformance.templates import table
from isocenter.declarations import sop_classes
from isocenter.declarations.activities import Activity

Lists: TypeAlias = dict[tuple[str, ...], str]
"""Lists of transfer syntaxes that many rows share, with their names."""


def syntax_lists(entity: Entity) -> Lists:
    """The lists of transfer syntaxes of an AE that its tables refer to by name."""
    shared = dict.fromkeys(
        context.syntaxes
        for activity in entity.activities
        for context in contexts(entity, activity)
        if sop_classes.is_storage(context.uid) or len(context.syntaxes) > 4
    )
    return {syntaxes: f"List {chr(ord('A') + n)}" for n, syntaxes in enumerate(shared)}


def list_tables(entity: Entity, number: str) -> list[Table]:
    """A table for each of these lists."""
    columns = ("Transfer Syntax Name", "Transfer Syntax UID")
    return [
        Table(
            f"Table {number}.1-{n}. Transfer syntaxes, {name}", columns,
            tuple((name_of(uid), uid) for uid in syntaxes), "syntax-list", entity.title, name,
        )
        for n, (syntaxes, name) in enumerate(syntax_lists(entity).items(), 2)
    ]  # fmt: skip


def context_row(context: Context, lists: Lists) -> Row:
    """A row of a table of presentation contexts."""
    name = lists.get(context.syntaxes)
    names = name or "\n".join(name_of(uid) for uid in context.syntaxes)
    values = name or "\n".join(context.syntaxes)
    return (context.name, context.uid, names, values, context.role, context.extended or "None")


def extended_table(kind: str, title: str, entity: Entity, activity: Activity, rows: Sequence[Context]) -> list[Table]:
    """What may be agreed on beside, for the classes that have something of the kind."""
    shown = [(row.name, row.uid, row.extended) for row in rows if row.extended]
    return [table(kind, title, shown, ae=entity.title, about=activity.name)] if shown else []
