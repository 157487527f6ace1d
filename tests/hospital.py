"""A hospital in this process: an archive, its worklist and procedure steps, and ADT messages to it, as the HL7 process
hands them on.

    house = Hospital(archive)
    house.archived(1, patient="A")
    house.scheduled("O1", patient="A")
    house.adt("A40", "PID|||B||Roe^R", "MRG|A")
    assert house.patients == {"archive": ...}
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import insert, select

import archives
from archives import Running, made
from isocenter.archive.edits.making import Edits, Who
from isocenter.archive.ingest import Origin
from isocenter.config.hl7 import Feed
from isocenter.hl7.errors import MessageError
from isocenter.hl7.message import Message, parsed
from isocenter.index import tables
from isocenter.workflow.documents.composing import result_messages
from isocenter.workflow.messages.handling import Handler
from isocenter.workflow.patients.composing import Patients, patients
from isocenter.workflow.patients.undoing import Done
from isocenter.workflow.steps.steps import Step, Steps
from isocenter.workflow.steps.tables import step
from isocenter.workflow.worklist.attributes import changed, written
from isocenter.workflow.worklist.entries import Worklist
from isocenter.workflow.worklist.rows import Entry

WHO = Who("tester", "it was wrong")
FEED = Feed(name="his", time_zone="UTC")
NAME, BIRTH, SEX, LOCATION, ADMISSION = "00100010", "00100030", "00100040", "00380300", "00380010"


class Hospital:
    """The parts, and shorthands over them."""

    def __init__(self, archive: Running, feed: Feed = FEED) -> None:
        self.archive, self.feed = archive, feed
        self.database = archive.database
        self.worklist, self.steps = Worklist(archive.database), Steps(archive.database)
        self.edits = Edits(archive.database, archive.store, archive.ingest.writer)
        self.parts: Patients = patients(archive.database, self.edits)
        self.results: Handler = result_messages(archive.database, archive.ingest, "ISOCENTER")
        self._numbers = itertools.count(1)

    # --- what there is

    def archived(self, study: int, *, patient: str, issuer: str = "", name: str = "Doe^Jane", **values: str) -> str:
        """An object of study number `study`, by a modality; its Study Instance UID."""
        named = {"PatientID": patient, "PatientName": name, **values}
        if issuer:
            named["IssuerOfPatientID"] = issuer
        one = made(study=study, **named)
        self.stored(one)
        return one.study

    def stored(self, one: archives.Object) -> None:
        """Put an object into the archive."""
        reception = self.archive.ingest.receive(Origin("CT1", "ISOCENTER", "127.0.0.1"), *one[:3])
        reception.write([one.data])
        reception.finish()

    def scheduled(
        self, order: str, *, patient: str, issuer: str = "", name: str = "Doe^Jane", visit: str = "", **options: Any
    ) -> Entry:
        """A worklist item; options are `study`, `state`, `location`."""
        model: dict[str, Any] = {
            NAME: {"vr": "PN", "Value": [{"Alphabetic": name}]},
            **written("00100020", patient),
            **written("00080050", order),
            "00400100": {"vr": "SQ", "Value": [written("00080060", "CT")]},
        }
        given = ((ADMISSION, visit), ("00100021", issuer), ("0020000D", options.get("study", "")))
        for tag, value in (*given, (LOCATION, options.get("location", ""))):
            if value:
                model |= written(tag, value)
        with self.database.writing() as connection:
            return self.worklist.put(connection, order, model, state=options.get("state"))

    def performed(self, uid: str, *, patient: str, issuer: str = "", name: str = "Doe^Jane", study: str = "") -> int:
        """A procedure step under way; its number."""
        items: dict[str, Any] = {"00400270": {"vr": "SQ", "Value": [written("0020000D", study)]}}
        with self.database.writing() as connection:
            times = {"created_at": 1, "changed_at": 1}
            row = {"sop_uid": uid, "state": "IN PROGRESS", "identity": f"{issuer}\\{patient}", **times}
            number = int(connection.execute(insert(step).values(**row).returning(step.c.id)).scalar_one())
            named = {NAME: {"vr": "PN", "Value": [{"Alphabetic": name}]}, **written("00100020", patient)}
            model = changed({**named, **(written("00100021", issuer) if issuer else {})}, items)
            self.steps.keep(connection, number, model)
            self.steps.keep_items(connection, number, model, [])
        return number

    # --- what comes

    def message(self, event: str, *segments: str, version: str = "2.5", control_id: str = "") -> Message:
        """A message of this event."""
        number = control_id or f"M{next(self._numbers)}"
        kind = event if "^" in event else f"ADT^{event}"
        header = f"MSH|^~\\&|HIS|ADT|ISO|PACS|20260301120000||{kind}|{number}|P|{version}|||||| UNICODE UTF-8"
        return parsed("\r".join((header.replace("| UNI", "|UNI"), *segments)).encode(), "UNICODE UTF-8")

    def adt(self, event: str, *segments: str, feed: Feed | None = None) -> list[MessageError]:
        """Have a message processed; its warnings. Raises MessageError."""
        return self.process(self.message(event, *segments), feed)

    def process(self, message: Message, feed: Feed | None = None) -> list[MessageError]:
        """Have it processed."""
        self._handler(message).before(message, feed or self.feed)
        return self.applied(message, feed)

    def applied(self, message: Message, feed: Feed | None = None) -> list[MessageError]:
        """The second half."""
        with self.database.writing() as connection:
            return list(self._handler(message).apply(connection, message, feed or self.feed) or ())

    def _handler(self, message: Message) -> Handler:
        return self.parts.messages if message.header.message == "ADT" else self.results

    def fed(self, **fields: Any) -> Feed:
        """The feed with other settings."""
        return Feed(**{**{name: getattr(self.feed, name) for name in self.feed.__struct_fields__}, **fields})

    # --- how it stands

    def entries(self) -> dict[str, Entry]:
        """The worklist by order."""
        with self.database.reading() as connection:
            orders = connection.execute(select(_items().c.order_key)).scalars().all()
            return {order: self.worklist.of_order(connection, order)[0] for order in orders}

    def entry(self, order: str) -> Entry:
        """One item."""
        return self.entries()[order]

    def step(self, number: int) -> Step:
        """One step."""
        with self.database.reading() as connection:
            found = self.steps.get(connection, number)
        assert found is not None
        return found

    def studies(self) -> dict[str, tuple[str, str]]:
        """Archived studies: the patient's identity and name."""
        with self.database.reading() as connection:
            query = select(tables.study.c.study_uid, tables.patient.c.identity, tables.study.c.patient_name)
            joined = query.join(tables.patient, tables.patient.c.id == tables.study.c.patient)
            return {row[0]: (row[1], row[2]) for row in connection.execute(joined)}

    def events(self) -> list[Done]:
        """What was noted, the latest first."""
        from isocenter.workflow.patients.undoing import listed

        with self.database.reading() as connection:
            return listed(connection)

    def undo(self, number: int = 0) -> None:
        """Take an event back, the latest by default."""
        self.parts.undoing.undo(number or next(one.id for one in self.events() if not one.undone_at), WHO)

    def state(self) -> dict[str, Any]:
        """All that can be seen of patients: of the archive, the worklist, the steps, the register."""
        with self.database.reading() as connection:
            numbers = connection.execute(select(step.c.id)).scalars().all()
            register = _registered(connection)
        held = (_plain(entry) for entry in self.entries().values())
        steps = (_plain(self.step(number)) for number in numbers)
        return {
            "archive": self.studies(),
            "worklist": sorted(held, key=_number),
            "steps": sorted(steps, key=_number),
            "register": register,
        }


def _plain(held: Entry | Step) -> tuple[Any, ...]:
    values = {tag: value for tag, value in held.model.items() if value.get("Value")}
    return held.id, held.identity, str(held.state), values


def _registered(connection: Any) -> dict[str, Any]:
    from isocenter.workflow.patients import registered
    from isocenter.workflow.patients.tables import registered_patient

    found: dict[str, Any] = {}
    for identity in connection.execute(select(registered_patient.c.identity)).scalars().all():
        person = registered.of(connection, identity)
        assert person is not None
        model: Mapping[str, Any] = {tag: value for tag, value in person.model.items() if value.get("Value")}
        visits: Iterable[Any] = sorted(registered.visits(connection, person.id))
        found[identity] = (model, person.merged_into, list(visits), registered.links(connection, identity))
    return found


def _items() -> Any:
    from isocenter.workflow.worklist.tables import worklist_item

    return worklist_item


def _number(plain: tuple[Any, ...]) -> int:
    return int(plain[0])
