"""The settings of HL7: the listener, the feeds that it takes messages from, and where messages are sent to."""

from typing import Annotated, Literal

import msgspec

from isocenter.config.kinds import Frozen, Port, Positive, Seconds, Whole

Sends = Literal["order-status", "study-available"]
"""What a destination is told of."""


class Feed(Frozen, frozen=True, kw_only=True):
    """Messages of one sender, `[[hl7.feed]]`: how they are told from others, and how they are read. The first feed that
    fits a message is its feed; messages that fit none are read by these defaults, those of each sending application and
    facility as a feed of their own. The messages of a feed are processed in their order."""

    name: str = ""
    """How it is called in lists and as the actor of changes; empty: by its application and facility."""
    application: str = ""
    """The sending application (MSH-3.1); empty: any."""
    facility: str = ""
    """The sending facility (MSH-4.1); empty: any."""
    addresses: tuple[str, ...] = ()
    """Addresses and networks that its messages may come from; none listed: any, which beyond loopback holds only over
    TLS."""
    character_set: str = ""
    """The character set of messages that name none in MSH-18, by its name in HL7 table 0211."""
    character_set_forced: bool = False
    """`character_set` is theirs whatever MSH-18 says: some senders name one and write another."""
    time_zone: str = ""
    """The zone that its times are in, such as `Europe/Berlin`, and that times with an offset are converted to; empty:
    this machine's."""
    authority: tuple[str, ...] = ()
    """Assigning authorities (CX.4, namespace or universal ID) whose identifier is the Patient ID, the best first, where
    PID-3 holds several; of none of these, or with none listed, the first identifier is taken."""
    issuer: str = ""
    """Issuer of Patient ID where an identifier names no assigning authority."""
    mapping: str = "rad-4"
    """Which worklist attributes its orders fill, from which fields: `rad-4`, `x-ris`, or a file (docs/orders.md)."""
    exams: str = ""
    """The table of exams, a CSV file: what an exam's code stands for in requested procedures, steps, modality, station
    AE title and room (docs/orders.md)."""
    unknown_orders: Literal["create", "refuse"] = "create"
    """A change of an order that is not known makes it, with a warning in the acknowledgement; or is refused."""
    unregistered: Literal["accept", "refuse"] = "accept"
    """An order of a patient whom no message has registered: taken, or refused (X-RIS-14)."""
    order_authority: str = ""
    """Who assigned order numbers that name nobody; empty: such a number is the same one in every feed."""
    updates_archive: bool = True
    """Updates of patients (ADT^A01, A08, A31 ...) correct name, birth date and sex in the archived studies of the same
    Patient ID and issuer. Merges and moves reach them in any case."""
    document_modality: Annotated[str, msgspec.Meta(pattern="^[A-Z0-9_ ]{1,16}$")] = "DOC"
    """Modality of the PDFs that come with its results (ORU, MDM)."""
    answers: str = ""
    """The destination that application acknowledgements of enhanced mode go to; empty: the sender's own connection."""


class Destination(Frozen, frozen=True, kw_only=True):
    """A receiver of messages, `[[hl7.destination]]`. Its messages leave in their order; each waits for the one before
    it to be acknowledged."""

    name: str
    """How it is called."""
    host: str
    """Its name or address."""
    port: Port = 2575
    """Its port."""
    tls: bool = False
    """Over TLS, with the certificates of `[tls]`."""
    tls_name: str = ""
    """Whom its certificate must be for; empty: its host."""
    application: str = ""
    """The receiving application (MSH-5)."""
    facility: str = ""
    """The receiving facility (MSH-6)."""
    version: str = "2.5"
    """The HL7 version its messages are written in."""
    character_set: str = "UNICODE UTF-8"
    """Their character set, by its name in HL7 table 0211."""
    processing: Literal["P", "T", "D"] = "P"
    """Their processing ID (MSH-11)."""
    sends: tuple[Sends, ...] = ()
    """What it is told of."""
    order_status_as: Literal["ORM", "OMG"] = "ORM"
    """The message that tells of an order's status: ORM^O01 or OMG^O19."""
    study_available_as: Literal["ORU", "OMI"] = "ORU"
    """The message that tells of a study that is available: ORU^R01 or OMI^O23."""
    wait: Seconds = 30.0
    """For an acknowledgement."""
    retries: Whole = 0
    """Tries of one message, when no acknowledgement comes, before it is put aside and the next one is sent; 0: it is
    tried until it is acknowledged, and holds up those behind it."""
    retry_delay: Seconds = 5.0
    """Before the first further try; doubled each time, up to `longest_delay`."""
    longest_delay: Seconds = 300.0
    """The most that is waited between two tries."""


class Hl7(Frozen, frozen=True, kw_only=True):
    """HL7 version 2 over MLLP."""

    listen: bool | None = None
    """Messages are taken. Not given: on loopback, and beyond where senders are known: by the `addresses` of a feed, or
    by their certificates on `tls_port`."""
    port: Port | None = 2575
    """Where messages are taken without TLS; 0: any free port, told at the start."""
    tls_port: Port | None = None
    """Where messages are taken over TLS, by `[tls]`; 0: any free port. None given: nowhere."""
    application: str = "ISOCENTER"
    """Our name in the messages that we send (MSH-3)."""
    facility: str = ""
    """Our facility in them (MSH-4)."""
    processing: tuple[str, ...] = ("P",)
    """Processing IDs (MSH-11) of messages that are taken; messages without one are."""
    versions: tuple[str, ...] = (
        *("2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2"),
    )
    """Versions (MSH-12) of messages that are taken; messages without one are."""
    largest: Annotated[int, msgspec.Meta(ge=1024, le=1 << 30)] = 32 << 20
    """Largest message."""
    connections: Positive = 64
    """Connections at once, on each port."""
    idle: Seconds = 0.0
    """A connection without a message is closed after this; 0: never, since feeds are quiet at night."""
    message: Seconds = 60.0
    """Until the rest of a begun message arrives."""
    keep: Positive = 90
    """Days that messages are kept, to be looked at, sent again and known when they come again."""
    keep_events: Whole = 365
    """Days that what messages did to patients is listed and can be taken back (`isocenter patients undo`), and that
    late objects follow orders which moved; 0: for good."""
    keep_orders: Whole = 365
    """Days that an order's numbers are known, at least: until the worklist has none of its steps any more; 0: for
    good."""
    feeds: tuple[Feed, ...] = msgspec.field(default=(), name="feed")
    destinations: tuple[Destination, ...] = msgspec.field(default=(), name="destination")

    def destination(self, name: str) -> Destination | None:
        """The destination of this name."""
        return next((each for each in self.destinations if each.name == name), None)
