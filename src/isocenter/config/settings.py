"""Every setting of an installation, as frozen structs with their defaults.

A struct's fields are the keys of the TOML file; `ae` and `peer` are arrays of tables. What is written here is the
whole list: `config.sources` refuses any other key. Times are seconds, sizes bytes (a text such as "1 GiB" is read too).
"""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from isocenter.declarations.presets import Preset

Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""A text that `config show` masks and that may come from the file that a `..._FILE` variable names."""

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
Whole = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
PduLength = Annotated[int, msgspec.Meta(ge=4096, le=16 << 20)]

Permission = Literal["store", "find", "move", "get", "commit", "worklist", "procedure-step", "print"]
PERMISSIONS: tuple[Permission, ...] = ("store", "find", "move", "get", "commit", "worklist", "procedure-step", "print")


class Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, cache_hash=True):
    """What all the structs of the settings share."""


class ResponseLimits(Frozen, frozen=True, kw_only=True):
    """How many matches a query may have at each level before it is refused; 0 means no limit (M-FIND-06, M-MOVE-06)."""

    patient: Whole = 0
    """At patient level."""
    study: Whole = 0
    """At study level."""
    series: Whole = 0
    """At series level."""
    image: Whole = 0
    """At image level."""


class Window(Frozen, frozen=True, kw_only=True):
    """Asynchronous operations on one association (PS3.7 D.3.3.3), as far as the peer agrees; 0 means any number.

    I-ASSOC-08, I-ASSOC-33, M-ASSOC-06.
    """

    invoked: Whole = 1
    """Operations of ours that may be under way at once, such as the C-STOREs of a C-MOVE; 1: nothing is proposed."""
    performed: Whole = 1
    """Operations that a peer may have under way at once. They are performed one after the other."""


class HostedAE(Frozen, frozen=True, kw_only=True):
    """An Application Entity that this installation hosts: a door to the archive with a title and habits of its own."""

    title: Title = "ISOCENTER"
    """What peers call."""
    role: Literal["archive"] = "archive"
    """What it does."""
    preset: Preset = "default"
    """Whose statuses and order of transfer syntaxes it follows (`declarations.statuses`, `.transfer_syntaxes`)."""
    services: tuple[Permission, ...] = PERMISSIONS
    """What it offers to those who may connect; Verification always."""
    storage: Literal["any", "declared", "none"] = "any"
    """Storage classes it accepts: whatever is proposed as one, those the registry knows, or none."""
    classes: tuple[str, ...] = ()
    """Storage SOP Class UIDs accepted beside `storage` (I-ARCH-12)."""
    syntaxes: tuple[str, ...] = ()
    """Transfer Syntax UIDs it accepts for storage, in order of preference; none listed: any, in the preset's order."""
    syntax_choice: Literal["", "acceptor", "proposer"] = ""
    """Whose order decides among the proposed transfer syntaxes (I-CTX-02, M-ASSOC-09); empty: as `preset` has it."""
    duplicates: Literal["keep-first", "keep-first-supplement", "replace", "new-uid", "reject"] = "keep-first"
    """What becomes of another object with a SOP Instance UID that is known already; nothing is ever deleted for it."""
    responses: ResponseLimits = ResponseLimits()
    case_sensitive: bool = False
    """Person names and other folded texts match with their case (M-FIND-04)."""
    accent_sensitive: bool = False
    """Person names and other folded texts match with their marks (M-FIND-05)."""
    character_set: str = "ISO_IR 192"
    """Assumed where a data set without Specific Character Set holds more than ASCII (I-CHAR-04)."""
    unknown_destination: Literal["refuse", "requestor"] = "refuse"
    """A C-MOVE to a title that no peer has: A801, or try the requestor's own address (I-ASSOC-02)."""
    unknown_destination_port: Port = 104
    """The port of that address."""
    relational: bool = True
    """Relational queries and retrievals are granted where they are asked for (I-CTX-07)."""
    known_peers: bool | None = None
    """Only registered peers may call. Not given: what `dicom_policy` says."""
    associations: Whole = 0
    """Associations at once to this title; 0: only the limit of the whole server."""
    window: Window = Window()
    max_pdu: PduLength | None = None
    """Largest PDU it announces that it takes (I-ASSOC-04). Not given: that of the whole server."""
    max_pdu_sent: PduLength | None = None
    """Largest PDU it sends, whatever the peer would take. Not given: that of the whole server."""
    dimse: Seconds | None = None
    """As `limits.dimse`, on associations that it accepts or opens. Not given: that of the whole server."""
    response: Seconds | None = None
    """As `limits.response`, on associations that it accepts or opens. Not given: that of the whole server."""
    idle: Seconds | None = None
    """As `limits.idle`, on associations that it accepts or opens. Not given: that of the whole server."""


class Peer(Frozen, frozen=True, kw_only=True):
    """A remote Application Entity: who may call, and where C-MOVE and the command line may send."""

    title: Title
    """What it calls itself, and is called by."""
    host: str = ""
    """Name or address. Where it is given, a caller with this title must come from there (M-SEC-05)."""
    port: Port = 104
    """Where it accepts associations."""
    addresses: tuple[str, ...] = ()
    """Further addresses or networks (`10.1.0.0/16`) that the title may call from."""
    allow: tuple[Permission, ...] = PERMISSIONS
    """What it may ask for once it is connected (M-SEC-06); Verification always."""
    called_as: str = ""
    """The calling title we use towards it; empty: the AE that sends."""
    syntaxes: tuple[str, ...] = ()
    """Transfer Syntax UIDs it prefers when we send, in order."""
    character_set: str = ""
    """Assumed for its data sets without Specific Character Set; empty: the AE's."""
    issuer: str = ""
    """Issuer of Patient ID where its objects name none."""
    associations: Positive = 4
    """Associations that we open to it at once, over all processes of one machine (I-ASSOC-06)."""
    max_pdu: Whole = 0
    """Largest PDU announced to it; 0: the limit of the AE that calls."""


class Limits(Frozen, frozen=True, kw_only=True):
    """What one peer, or all of them together, may take of this machine."""

    associations: Positive = 200
    """Associations at once over all AEs and processes (I-ASSOC-32)."""
    associations_per_address: Whole = 0
    """Associations at once from one address; 0: no limit of its own."""
    max_pdu: PduLength = 1 << 18
    """Largest PDU we announce that we take."""
    max_pdu_sent: PduLength = 1 << 20
    """Largest PDU we send, whatever the peer would take."""
    identifier: Positive = 4 << 20
    """Largest identifier or other data set that is held in memory (not stored objects)."""
    object: Whole = 0
    """Largest stored object; 0: as much as the disk takes."""
    artim: Seconds = 30.0
    """From the connection to the association request, and from a release or abort to the close (PS3.8 9.1.5)."""
    dimse: Seconds = 120.0
    """Until the rest of a begun message arrives."""
    response: Seconds = 120.0
    """Until the response to a request of ours arrives, or the next of several."""
    idle: Seconds = 1800.0
    """An association without any message is ended after this."""
    connect: Seconds = 10.0
    """To open a connection to a peer."""
    send: Seconds = 60.0
    """A peer that takes nothing for this long is given up."""
    turn: Seconds = 30.0
    """A C-MOVE or command waits so long where a peer has all the associations already that it may have of us."""


class Processes(Frozen, frozen=True, kw_only=True):
    """How many processes of each kind, and how they end."""

    dicom: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """Processes that accept associations."""
    drain: Seconds = 30.0
    """On SIGTERM and after a reload, associations and requests may run on for this long."""
    restart_delay: Seconds = 0.5
    """Before a dead process is started again; doubled at each failure that follows soon, up to 30 s."""


class Lanes(Frozen, frozen=True, kw_only=True):
    """How much of each kind of work the web process does at once."""

    query: Positive = 4
    """Searches."""
    ingest: Positive = 8
    """Objects received (STOW-RS)."""
    retrieve: Positive = 4
    """Objects, frames and metadata sent."""
    waiting: Whole = 256
    """Further requests of a kind that may wait; beyond that they are answered 503."""


class Http(Frozen, frozen=True, kw_only=True):
    """The HTTP side."""

    token: Secret = ""
    """The admin token; empty: one is made at the first start and printed once."""
    open: bool | None = None
    """No token is asked for. Not given: true on loopback, false beyond."""
    public_root: str = ""
    """How clients see this server (`https://pacs.example.org/archive`), where forwarded headers do not tell."""
    allow_delete: bool = False
    """DICOMweb DELETE is answered."""
    max_body: Whole = 0
    """Largest request body; 0: as much as the disk takes."""
    limit: Whole = 0
    """Most matches a QIDO-RS answer holds; 0: no limit of ours."""
    lanes: Lanes = Lanes()


_DEFAULT_AES = (HostedAE(),)


class Settings(Frozen, frozen=True, kw_only=True):
    """One installation. Made once by `config.load` and passed in wherever it is needed."""

    data: Path = Path("data")
    """The folder that holds everything: the objects, the index, the journal."""
    host: str = "127.0.0.1"
    """The address that both ports listen on."""
    dicom_port: Port = 11112
    """Where associations are accepted; 0: any free port, told at the start."""
    http_port: Port = 8042
    """Where HTTP is served; 0: any free port."""
    database: Secret = ""
    """URL of the index; empty: SQLite in the data folder."""
    durability: Literal["power", "process"] = "power"
    """What an acknowledged object survives: loss of power, or of the process only."""
    free_space_floor: Whole = 1 << 30
    """Objects are refused (A700) while less than this is free on the store's disk."""
    dicom_policy: Literal["", "open", "known-peers"] = ""
    """Who may open an association; empty: anyone on loopback, known peers beyond, of which the settings must then
    name one."""
    insecure: bool = False
    """Beyond loopback, leave HTTP and DICOM open. A banner says so."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What the log holds; it goes to standard error, a JSON object a line, without patient data."""
    aes: tuple[HostedAE, ...] = msgspec.field(default=_DEFAULT_AES, name="ae")
    peers: tuple[Peer, ...] = msgspec.field(default=(), name="peer")
    limits: Limits = Limits()
    processes: Processes = Processes()
    http: Http = Http()

    @property
    def loopback(self) -> bool:
        """Only programs of this machine can reach the ports."""
        return is_loopback(self.host)

    @property
    def database_url(self) -> str:
        """The index's URL, with the default filled in."""
        return self.database or f"sqlite:///{self.data / 'index.db'}"

    @property
    def sqlite(self) -> bool:
        """The index is SQLite, so that one process owns it."""
        return self.database_url.startswith("sqlite")

    @property
    def policy(self) -> Literal["open", "known-peers"]:
        """`dicom_policy` with its default filled in."""
        return self.dicom_policy or ("open" if self.loopback or self.insecure else "known-peers")

    @property
    def http_open(self) -> bool:
        """HTTP asks for no token."""
        return self.http.open if self.http.open is not None else self.loopback or self.insecure

    @property
    def store_root(self) -> Path:
        """The folder of the object store."""
        return self.data / "store"

    @property
    def run_folder(self) -> Path:
        """Sockets, ports and other things of the running server."""
        return self.data / "run"

    @property
    def aes_given(self) -> bool:
        """The AEs come from a source of the settings, were it the same as the default."""
        return self.aes is not _DEFAULT_AES

    def ae(self, title: str) -> HostedAE | None:
        """The hosted AE of this title."""
        return next((ae for ae in self.aes if ae.title == title), None)

    def peers_titled(self, title: str) -> tuple[Peer, ...]:
        """The peers of this title; several may share one, at several addresses."""
        return tuple(peer for peer in self.peers if peer.title == title)


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
