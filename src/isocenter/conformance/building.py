"""The statement as a whole: section 4's model of the implementation, and all sections in order (PS3.2 annex A)."""

from collections.abc import Sequence

from isocenter import __version__
from isocenter.config import Settings
from isocenter.conformance.annexes import annexes
from isocenter.conformance.configuring import configuration, interfaces
from isocenter.conformance.diagrams import Flow, data_flow
from isocenter.conformance.entity import specification
from isocenter.conformance.facts import Entity, entities
from isocenter.conformance.front import contents, introduction, overview
from isocenter.conformance.media import media_interchange
from isocenter.conformance.model import Block, Bullets, Figure, Paragraph, Product, Row, Section, Statement
from isocenter.conformance.security import character_sets, security


def statement(settings: Settings, *, date: str, title: str = "", web: Sequence[Row] = ()) -> Statement:
    """The conformance statement of an installation, dated `date` (ISO 8601). `title`: of that hosted AE alone. `web`:
    what DICOMweb can do, as `interfaces` lists it."""
    product = _product(settings, date)
    aes = entities(settings, title)
    body = (
        networking(settings, aes, web),
        media_interchange(),
        character_sets(settings, aes),
        security(settings, aes),
        annexes(settings, aes),
    )
    first = overview(product, settings, aes)
    said = " ".join(Statement(product, (first, *body)).words())
    return Statement(product, (first, contents(), introduction(product, said), *body))


def _product(settings: Settings, date: str) -> Product:
    own = settings.statement
    latest = (__version__, date, own.company, "Generated from the configuration of the installation")
    earlier = tuple((r.version, r.date, r.author, r.description) for r in own.revisions)
    return Product("Isocenter", __version__, own.company, own.document, date, (*earlier, latest))


def networking(settings: Settings, aes: Sequence[Entity], web: Sequence[Row] = ()) -> Section:
    """Section 4."""
    return Section(
        "Networking",
        sections=(
            _model(aes),
            Section(
                "AE Specifications",
                sections=tuple(specification(settings, entity, f"4.2.{n}") for n, entity in enumerate(aes, 1)),
                role="4.2",
            ),
            interfaces(settings, web),
            configuration(settings, aes),
        ),
        role="4",
    )


def _model(aes: Sequence[Entity]) -> Section:
    functions = tuple(
        Section(f"Functional Definition of {entity.name}", (Paragraph(_function(entity)),), role="4.1.2.x")
        for entity in aes
    )
    return Section(
        "Implementation Model",
        sections=(
            Section("Application Data Flow", _flow(aes), role="4.1.1"),
            Section("Functional Definition of AEs", sections=functions, role="4.1.2"),
            Section("Sequencing of Real World Activities", (Paragraph(_ORDER), Bullets(_CONSTRAINTS)), role="4.1.3"),
        ),
        role="4.1",
    )


def _flow(aes: Sequence[Entity]) -> tuple[Block, ...]:
    told = tuple(
        f"{entity.name}, {activity.name}: {activity.summary}" for entity in aes for activity in entity.activities
    )
    figures = (_flow_figure(n, entity) for n, entity in enumerate(aes, 1))
    return (*figures, Bullets(told), Paragraph(_OVERLAPS))


def _flow_figure(number: int, entity: Entity) -> Figure:
    flows = [Flow(activity.local, entity.name, activity.remote, activity.initiates) for activity in entity.activities]
    return Figure(
        f"Figure 4.1-{number}. Application data flow of {entity.name}",
        data_flow(flows),
        "Local real-world activities to the left of the AE, remote ones to the right of the DICOM standard interface. "
        "An arrow to the right: the AE initiates an association; to the left: it accepts one.",
    )


_OVERLAPS = (
    "No two activities overlap in the sense of sharing an association; all of them may go on at the same time, on "
    "associations of their own. Each AE has one AE Title; the AEs of an installation share the same archive."
)


def _function(entity: Entity) -> str:
    if entity.ae is None:
        return (
            "The commands open an association to a peer, invoke one service on it (C-ECHO, C-STORE, C-FIND, C-MOVE or "
            "C-GET), show what comes of it and release the association. They accept no associations, but for the "
            "instances that a C-GET brings on the same one."
        )
    accepting = ", ".join(activity.name for activity in entity.accepting)
    initiating = ", ".join(activity.name for activity in entity.initiating) or "none"
    return (
        f"{entity.name} waits for associations and performs, on each, whatever was negotiated, until the peer releases "
        f"it or one of the time-outs passes. Accepted for: {accepting}. Initiated for: {initiating}."
    )


_ORDER = "Activities of different associations are independent of each other. Within them this order holds:"
_CONSTRAINTS = (
    "An instance can be queried and retrieved as soon as its storage was answered with success.",
    "A C-MOVE request is answered for good when its last sub-operation has ended.",
    "Storage commitment may be requested before or after the association on which the instances came has ended; an "
    "instance that has not arrived when the request is looked at is reported as missing.",
    "A rejection note takes effect once it is stored; what it names is hidden from then on.",
)
