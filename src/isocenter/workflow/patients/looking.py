"""Who is meant by an identity: looked up once in the course of one message, which changes nothing about it."""

from sqlalchemy import Connection

from isocenter.workflow.patients import archived, registered
from isocenter.workflow.patients.attributes import parts_of


class Looked:
    """What was found in one transaction. Not for messages that merge or move patients: they change what was found."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._current: dict[str, str] = {}
        self._identities: dict[str, list[str]] = {}

    def current(self, identity: str) -> str:
        """See `registered.current_for_message`."""
        found = self._current.get(identity)
        if found is None:
            found = self._current[identity] = registered.current_for_message(self.connection, identity)
        return found

    def identities(self, patient_id: str) -> list[str]:
        """See `archived.identities_of`."""
        found = self._identities.get(patient_id)
        if found is None:
            found = self._identities[patient_id] = archived.identities_of(self.connection, patient_id)
        return found

    def is_archived(self, identity: str) -> bool:
        """Whether the archive has objects of exactly this patient."""
        return identity in self.identities(parts_of(identity)[0])
