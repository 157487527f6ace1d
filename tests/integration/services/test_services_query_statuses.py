"""Every row of the catalogue's status tables for C-FIND, C-MOVE and C-GET, as the preset of its system answers it."""

import csv
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from archives import CT, Destination, Running, keys, listening, made, running, sop_uid, study_uid
from isocenter.archive.query import search
from isocenter.config import HostedAE
from isocenter.config.entries import entry
from isocenter.dicom import uids
from isocenter.dicom.dataset import DataSet, encode, text
from isocenter.dimse import ProposedContext, Response, commands
from isocenter.services import find, retrieving
from material import REQUIREMENTS

SYSTEMS = {
    "archive": ("iconnect", {"ARCHIVE"}),
    "pacs": ("marie", {"MARIE_PACS"}),
    "query-server": ("ps32", {"QUERY-RETRIEVE-SCP"}),
}
STUDY = keys("STUDY", StudyInstanceUID=study_uid(), PatientID="P1")
FIND, MOVE, GET = uids.STUDY_ROOT_FIND, uids.STUDY_ROOT_MOVE, uids.STUDY_ROOT_GET
NEVER = {("query-server", "move", 0xB000)}
"""A row that says that this is never answered (X-QR-27)."""


def rows() -> list[tuple[str, str, int]]:
    """(preset, service, status) of the rows of these services."""
    found = set()
    for preset, (name, aes) in SYSTEMS.items():
        for row in csv.DictReader((REQUIREMENTS / f"{name}_status_codes.csv").read_text("utf-8").splitlines()):
            service, code = row["service"], row.get("code_hex") or row.get("code_hex_or_http") or ""
            proxied = "proxy" in service or "MWL" in service
            if row["ae"] in aes and row["role"] == "SCP" and len(code) == 4 and not proxied:
                kinds = [kind for kind in ("find", "move", "get") if f"C-{kind.upper()}" in service]
                found |= {(preset, kind, int(code, 16)) for kind in kinds}
    # "C-MOVE only" says the row of both
    return sorted(found - {("archive", "get", 0xA801)})


def test_the_rows_were_read() -> None:
    assert len(rows()) > 35
    assert {preset for preset, _, _ in rows()} == set(SYSTEMS)


class Scene(NamedTuple):
    """An archive of a preset that holds two objects of a study, and a destination."""

    archive: Running
    destination: Destination
    patch: pytest.MonkeyPatch
    service: str

    def ask(self, identifier: DataSet = STUDY, to: str = "DEST", *, cancel: threading.Event | None = None,
            data: bytes | None = None, storing: bool = True) -> list[Response]:  # fmt: skip
        """The responses to one request; with `cancel` it is cancelled, and the event set."""
        model = {"find": FIND, "move": MOVE, "get": GET}[self.service]
        storage = [ProposedContext(CT, (uids.EXPLICIT_LE,), scu=False, scp=True)] if storing else []
        with self.archive.connect(ProposedContext(model, (uids.EXPLICIT_LE,)), *storage) as association:
            context = association.context_for(model)
            request = {"find": commands.find_rq(model), "move": commands.move_rq(model, to)}.get(self.service)
            request = request or commands.get_rq(model)
            association._receive = Taken()  # type: ignore[assignment]
            encoded = encode(identifier, uids.EXPLICIT_LE) if data is None else data
            message = association.request(context.id, request, encoded)
            if cancel is not None:
                association.cancel(context.id, message)
                cancel.set()
            return list(association.responses(message))

    def broken(self, fault: Exception) -> None:
        """The index fails."""

        def fail(*_: object) -> Any:
            raise fault

        def found(database: Any, query: Any) -> Any:
            return search(database, query)._replace(pages=map(fail, [0]))

        if self.service == "find":
            self.patch.setattr(find, "search", found)
        else:
            self.patch.setattr(retrieving, "kinds", fail)

    @property
    def looks_with(self) -> str:
        return "search" if self.service == "find" else "kinds"


class Taken:
    """Takes the objects of a C-GET."""

    def sink(self, association: Any, context: Any, command: Any) -> Any:
        from isocenter.dimse import BufferSink

        return BufferSink()

    def perform(self, association: Any, context: Any, command: Any, sink: Any) -> None:
        association.respond(context.id, commands.response(command, 0))


@contextmanager
def scene(folder: Path, url: str, patch: pytest.MonkeyPatch, preset: str, service: str, **more: Any) -> Iterator[Scene]:
    values = {"preset": preset, "services": ["store", "find", "move", "get"], "unknown_destination": "refuse", **more}
    ae = entry("ae", {**values, "policy": "open"}, origin="test")
    assert isinstance(ae, HostedAE)
    destination = Destination(statuses={sop_uid(1, study=3): 0xA700})
    with listening(destination), running(folder, url, ae=ae, peers=[destination.peer]) as archive:
        archive.send(made(1), made(2), made(1, study=2), made(1, study=3))
        yield Scene(archive, destination, patch, service)


def success(given: Scene) -> list[Response]:
    return given.ask()


def unsupported(given: Scene) -> list[Response]:
    return given.ask({**STUDY, 0x00081048: text("PN", ""), 0x00380500: text("LO", "")})


def cancelled(given: Scene) -> list[Response]:
    looked, module = threading.Event(), find if given.service == "find" else retrieving
    real = getattr(module, given.looks_with)

    def waiting(*args: Any) -> Any:
        assert looked.wait(30)
        return real(*args)

    given.patch.setattr(module, given.looks_with, waiting)
    return given.ask(cancel=looked)


def out_of_resources(given: Scene) -> list[Response]:
    given.broken(OperationalError("SELECT", {}, Exception("disk I/O error")))
    return given.ask()


def unknown(given: Scene) -> list[Response]:
    given.broken(ProgrammingError("SELECT", {}, Exception("syntax")))
    return given.ask()


def malformed(given: Scene) -> list[Response]:
    return given.ask(data=b"\x08\x00\x52\x00CS\xff\xffSTUDY")


def mismatch(given: Scene) -> list[Response]:
    return given.ask(keys("PATIENT", PatientID="P1"))


def failing(given: Scene) -> list[Response]:
    identifier = keys("STUDY", StudyInstanceUID=study_uid(3))
    return given.ask(identifier, storing=False) if given.service == "get" else given.ask(identifier)


def nowhere(given: Scene) -> list[Response]:
    return given.ask(to="NOWHERE")


RECIPES: dict[tuple[str, int], Callable[[Scene], list[Response]]] = {
    **{(kind, 0x0000): success for kind in ("find", "move", "get")},
    **{(kind, 0xFF00): success for kind in ("find", "move", "get")},
    **{(kind, 0xFF01): unsupported for kind in ("find", "move", "get")},
    **{(kind, 0xFE00): cancelled for kind in ("find", "move", "get")},
    **{(kind, 0x0110): unknown for kind in ("find", "move", "get")},
    **{(kind, 0xC000): malformed for kind in ("find", "move", "get")},
    **{(kind, 0xA900): mismatch for kind in ("find", "move", "get")},
    **{(kind, 0xA700): out_of_resources for kind in ("find", "move", "get")},
    **{(kind, 0xA701): out_of_resources for kind in ("move", "get")},
    **{(kind, 0xA702): failing for kind in ("move", "get")},
    ("move", 0xA801): nowhere,
}


def too_many(given: Scene) -> list[Response]:
    """Three studies, of which two may be found."""
    return given.ask(keys("STUDY", PatientName="Doe*"))


@pytest.mark.req("I-FIND-ST-01", "I-FIND-ST-02", "I-FIND-ST-03", "I-FIND-ST-04", "I-FIND-ST-05", "I-FIND-ST-06")
@pytest.mark.req("I-MOVE-ST-01", "I-MOVE-ST-02", "I-MOVE-ST-03", "I-MOVE-ST-04", "I-MOVE-ST-05", "I-MOVE-ST-06")
@pytest.mark.req("I-MOVE-ST-07", "I-MOVE-ST-08", "I-FIND-20", "M-FIND-10", "M-FIND-11", "M-FIND-12", "M-FIND-13")
@pytest.mark.req("M-MOVE-06", "M-MOVE-07", "X-QR-23", "X-QR-24", "X-QR-25", "X-QR-26", "X-QR-27", "M-GET-01")
@pytest.mark.parametrize(("preset", "service", "status"), rows(), ids=lambda v: f"{v:04X}" if isinstance(v, int) else v)
def test_row(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, preset: str, service: str, status: int
) -> None:
    if (preset, service, status) in NEVER:
        with scene(tmp_path, sqlite_url, monkeypatch, preset, service) as given:
            assert {each.status for each in failing(given)} == {0xA702, 0xFF00}
        return
    recipe, more = RECIPES.get((service, status)), {}
    if status == 0xC001 and (preset, service) == ("query-server", "find"):
        recipe = lambda given: given.ask(keys("STUDY", PatientName="*"))  # noqa: E731
    elif status == 0xC001:
        recipe, more = (too_many, {"responses": {"study": 2}})
        if (preset, service) == ("archive", "find"):
            recipe, more = (lambda given: given.ask(keys("STUDY", PatientName="*")), {"required_keys": True})
    assert recipe is not None, "no way is known to come to this status"
    with scene(tmp_path, sqlite_url, monkeypatch, preset, service, **more) as given:
        answers = recipe(given)
    assert status in {each.status for each in answers}
    last = answers[-1]
    assert last.data is None or last.status in (0xA702, 0xFE00)
    if last.status not in (0, 0xFE00):
        assert last.comment
        assert "Doe" not in last.comment


@pytest.mark.req("M-FIND-06", "M-FIND-13", "X-QR-24")
@pytest.mark.parametrize(("preset", "status"), [("pacs", 0xC001), ("archive", 0xA700), ("query-server", 0xA700)])
def test_limit_of_responses(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, preset: str, status: int
) -> None:
    limits = {"study": 2}
    with scene(tmp_path, sqlite_url, monkeypatch, preset, "find", responses=limits) as given:
        assert [each.status for each in too_many(given)] == [status]
        assert [each.status for each in given.ask(keys("STUDY", PatientID="P1"))] == [0xFF00, 0]
