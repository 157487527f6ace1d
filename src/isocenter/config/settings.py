"""Every setting of an installation, as frozen structs with their defaults.

A struct's fields are the keys of the TOML file; `ae` and `peer` are arrays of tables (`entities`). What is written in
these structs is the whole list: `config.sources` refuses any other key. Times are seconds, sizes bytes (a text such as
"1 GiB" is read too).
"""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from isocenter.config.coercion import Hooks, Rule
from isocenter.config.compression import Compression, CompressionRule
from isocenter.config.deidentification import Deidentification
from isocenter.config.entities import (
    PERMISSIONS,
    ClassRole,
    Commitment,
    HostedAE,
    Peer,
    Permission,
    Policy,
    ResponseLimits,
    SyntaxPriority,
    Window,
)
from isocenter.config.hl7 import Hl7
from isocenter.config.imaging import Imaging
from isocenter.config.kinds import Frozen, PduLength, Port, Positive, Seconds, Secret, Whole
from isocenter.config.notices import Completeness, Notice, Notices, WebHook
from isocenter.config.rejections import Rejections
from isocenter.config.security import Identity, Tls, User
from isocenter.config.workitems import Workitems
from isocenter.config.worklist import WorklistUpkeep

__all__ = [
    "PERMISSIONS",
    "ClassRole",
    "Commitment",
    "HostedAE",
    "Http",
    "Index",
    "Lanes",
    "Limits",
    "Peer",
    "Permission",
    "Policy",
    "Processes",
    "ResponseLimits",
    "Revision",
    "Settings",
    "Statement",
    "SyntaxPriority",
    "Window",
    "is_loopback",
]


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
    render: Positive = 4
    """Pictures rendered. More than the pixel workers (`imaging.workers`) only wait there instead of here."""
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
    allow_reject: bool = False
    """Rejection over DICOMweb (`POST .../reject/CODE^DCM`) is answered."""
    search: Literal["open", "patient", "filtered"] = "open"
    """What a QIDO-RS search must name: nothing, a Patient ID, or any matching key; one that doesn't gets 413."""
    ae: str = ""
    """The title of the hosted AE whose rules on sending, `merge_on_send` and `conflicting` hold for what leaves over
    DICOMweb too; one of the settings file. Empty: objects leave with their edits alone."""
    origins: tuple[str, ...] = ()
    """Origins whose pages may use this server from a browser (CORS): `https://viewer.example.org`, or `*`."""
    max_body: Whole = 0
    """Largest request body; 0: as much as the disk takes."""
    warm: bool = True
    """The web process goes through what a viewer asks for first before it serves, and starts a pixel worker, so that
    the first client need not wait for that."""
    limit: Whole = 0
    """Most matches a QIDO-RS answer holds; 0: no limit of ours."""
    repository: str = ""
    """The XDS repositoryUniqueId (an OID) of this archive, where WADO-WS requests must name it; empty: any is taken."""
    uri_implicit: bool = False
    """WADO-URI sends objects in Implicit VR Little Endian where the request names no transfer syntax that can be had,
    as some archives do (I-URI-04), not in Explicit VR Little Endian as PS3.18 says."""
    lanes: Lanes = Lanes()


class Index(Frozen, frozen=True, kw_only=True):
    """What the index keeps beside the keys of every archive (M-FIND-03)."""

    attributes: tuple[str, ...] = ()
    """Further attributes to be matched and returned, `LEVEL:ATTRIBUTE`: `image:AcquisitionNumber`, `series:00180015`,
    with dots into sequences; of a private element the VR too, and its creator if that is to be checked:
    `image:00091001:LO:ACME 1.0`. What was stored before is gone through by a job (`index attributes`)."""
    behind: bool = False
    """With SQLite: a C-STORE is answered once its object is durable, and the index is written in batches right after;
    searches wait for that. By default each answer waits for its rows."""
    patience: Seconds = 30.0
    """With PostgreSQL: how long an object waits for the database before its sender is told to try later."""


class Revision(Frozen, frozen=True, kw_only=True):
    """An earlier issue of the conformance statement, for its revision history."""

    version: str
    """Of the document."""
    date: str
    """Of its issue, such as `2026-01-31`."""
    author: str = ""
    """Who issued it."""
    description: str = ""
    """What was new in it."""


class Statement(Frozen, frozen=True, kw_only=True):
    """What the conformance statement says of itself (`isocenter conformance`)."""

    company: str = "The Isocenter project"
    """Who publishes it."""
    document: str = ""
    """Its number, where the company has one."""
    revisions: tuple[Revision, ...] = msgspec.field(default=(), name="revision")
    """Earlier issues; the one being written is added."""


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
    dicom_policy: Literal["", Policy] = ""
    """Who may open an association: `open`, `known-titles`, `known-peers`, or `named-classes`; empty: anyone on
    loopback, known peers beyond, of which the settings must then name one."""
    insecure: bool = False
    """Beyond loopback, leave HTTP and DICOM open. A banner says so."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What the log holds; it goes to standard error, a JSON object a line, without patient data."""
    aes: tuple[HostedAE, ...] = msgspec.field(default=_DEFAULT_AES, name="ae")
    peers: tuple[Peer, ...] = msgspec.field(default=(), name="peer")
    rules: tuple[Rule, ...] = msgspec.field(default=(), name="rule")
    hooks: Hooks = Hooks()
    compress: tuple[CompressionRule, ...] = ()
    compression: Compression = Compression()
    completeness: Completeness = Completeness()
    notice: tuple[Notice, ...] = ()
    notices: Notices = Notices()
    web_hooks: tuple[WebHook, ...] = msgspec.field(default=(), name="hook")
    standard: str = ""
    """A folder with the tables of the standard, as dicom-validator keeps them, by which `validation = "iod"` checks
    too; empty: only by the tables of this program."""
    limits: Limits = Limits()
    processes: Processes = Processes()
    http: Http = Http()
    index: Index = Index()
    imaging: Imaging = Imaging()
    rejection: Rejections = Rejections()
    deidentification: Deidentification = Deidentification()
    workitem: Workitems = Workitems()
    statement: Statement = Statement()
    hl7: Hl7 = Hl7()
    worklist: WorklistUpkeep = WorklistUpkeep()
    tls: Tls = Tls()
    identity: Identity = Identity()
    users: tuple[User, ...] = msgspec.field(default=(), name="user")

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
    def policy(self) -> Policy:
        """`dicom_policy` with its default filled in."""
        return self.dicom_policy or ("open" if self.loopback or self.insecure else "known-peers")

    def policy_of(self, ae: HostedAE) -> Policy:
        """Who may open an association to `ae`."""
        return ae.policy or self.policy

    @property
    def http_open(self) -> bool:
        """HTTP asks for no token."""
        return self.http.open if self.http.open is not None else self.loopback or self.insecure

    @property
    def hl7_open(self) -> bool:
        """HL7 messages are taken from anyone who reaches the port."""
        return self.loopback or self.insecure

    @property
    def hl7_listens(self) -> bool:
        """HL7 messages are taken."""
        if self.hl7.port is None and self.hl7.tls_port is None:
            return False
        return self.hl7.listen if self.hl7.listen is not None else self.hl7_open or self.hl7_senders_known

    @property
    def hl7_senders_known(self) -> bool:
        """Some may send messages from beyond this machine: by their address, or by their certificate."""
        certified = self.hl7.tls_port is not None and self.tls.client_certificate == "require"
        return certified or any(feed.addresses for feed in self.hl7.feeds)

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
        """The peers of this title or alias; several may share one, at several addresses."""
        return tuple(peer for peer in self.peers if peer.title == title or title in peer.aliases)


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
