"""The four services of the statement's overview, and the one that each SOP class is filed under (PS3.2 table A.1-2).

The table of PS3.2 knows the classes of its time; a newer class goes by what it serves (C-AMB-03).
"""

from typing import Final, Literal, TypeAlias

from isocenter.declarations.sop_classes import STORAGE, registry

Overview: TypeAlias = Literal["Transfer", "Query/Retrieve", "Workflow Management", "Print Management"]
OVERVIEW: Final[tuple[Overview, ...]] = ("Transfer", "Query/Retrieve", "Workflow Management", "Print Management")
"""The headings of table A.1-1, in order."""

_QUERIED: Final = frozenset({"query", "retrieve", "inventory"})
_PRINTED: Final = frozenset({"print", "media"})
_SUBSTANCE_APPROVAL_QUERY: Final = "1.2.840.10008.5.1.4.42"
STORAGE_SERVICE: Final = "1.2.840.10008.4.2"
"""The Storage Service Class: stands for all its SOP classes where every one of them is accepted."""
STORAGE_SERVICE_NAME: Final = "Storage Service Class"


def overview_of(uid: str) -> Overview:
    """The service that a SOP class, or the Storage Service Class itself, is filed under. KeyError if it is unknown."""
    if uid == STORAGE_SERVICE:
        return "Transfer"
    category = registry()[uid].category
    if category == STORAGE:
        return "Transfer"
    if category in _QUERIED or uid == _SUBSTANCE_APPROVAL_QUERY:
        return "Query/Retrieve"
    return "Print Management" if category in _PRINTED else "Workflow Management"
