"""The settings of the AEs that are hosted here, and of the peers: the tables `[[ae]]` and `[[peer]]`."""

from typing import Annotated, Literal, get_args

import msgspec

from isocenter.config.kinds import Frozen, PduLength, Port, Positive, Seconds, Title, Whole
from isocenter.config.reconciling import Reconciling
from isocenter.config.rejections import RejectionTitle
from isocenter.config.steps import ProcedureSteps
from isocenter.config.worklist import WorklistAnswers, WorklistView
from isocenter.declarations.presets import Preset

Permission = Literal[
    "store", "find", "move", "get", "commit", "worklist", "procedure-step", "workitem", "notification", "print"
]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

Policy = Literal["open", "known-titles", "known-peers", "named-classes"]
"""Who may open an association, from promiscuous to strict; each level asks for what those before it ask for:

`open`           anyone; a peer that is known gets what it is allowed all the same
`known-titles`   the calling title is a known peer's
`known-peers`    and the association comes from an address of that peer
`named-classes`  and each SOP class, in its role, is among the peer's `sop_classes`; Verification always is
"""

ClassLike = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)*:[0-9]+(\.[0-9]+)*$", max_length=129)]
"""A SOP Class UID and the one of the standard that it works like."""

ClassRole = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)*(:(scu|scp))?$", max_length=68)]
"""A SOP Class UID, alone or with the one role that the peer may have: `UID:scu`, `UID:scp`."""


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
    """Operations that a peer may have under way at once. C-STOREs overlap, as many as eight on one association, and are
    answered in the order in which they are done; the others are performed one after the other. 1: none overlap."""


class Commitment(Frozen, frozen=True, kw_only=True):
    """Storage commitment (PS3.4 J): how an AE reports on what others ask of it, and how it asks others."""

    report: Literal["new", "same", "either"] = "new"
    """Where the report goes: over a new association (I-COMMIT-03), over the request's own, or over that one first and
    a new one where it ends too soon (X-QR-61). Without a known address of the peer it can only be its own."""
    delay: Seconds = 0.0
    """From the request to the report, at least; less over the request's own association if the peer goes on before."""
    retries: Whole = 5
    """Further tries to deliver a report, or a request of ours, after one that failed (X-QR-63)."""
    retry_delay: Seconds = 300.0
    """Before each of them."""
    check: Literal["row", "size", "digest"] = "size"
    """How deep is looked before an object counts as committed: its row, its file with its size, or every byte."""
    wait: Seconds = 10.0
    """As SCU: how long the association stays open for the report after a request (X-MOD-31)."""
    timeout: Seconds = 86400.0
    """As SCU: a request without a report for so long has failed (X-MOD-34)."""


class HostedAE(Frozen, frozen=True, kw_only=True):
    """An Application Entity that this installation hosts: a door to the archive with a title and habits of its own."""

    title: Title = "ISOCENTER"
    """What peers call."""
    role: Literal["archive", "reconcile"] = "archive"
    """What it does. `archive`: it keeps what it receives and answers queries and retrievals. `reconcile`: what it
    receives waits until it is reconciled with a worklist, and only then goes to the archive."""
    preset: Preset = "default"
    """Whose habits it has: statuses, order of transfer syntaxes, and defaults for the settings that follow
    (`isocenter ae presets`)."""
    ports: tuple[Port, ...] = ()
    """Ports of its own, bound at the start and by a reload; it answers there only. None: the general `dicom_port`."""
    any_title: bool = False
    """It also answers callers of a title that no AE has, on its ports."""
    services: tuple[Permission, ...] = PERMISSIONS
    """What it offers to those who may connect; Verification always."""
    storage: Literal["any", "declared", "none"] = "any"
    """Storage classes it accepts: whatever is proposed as one, those the registry knows, or none."""
    classes: tuple[str, ...] = ()
    """Storage SOP Class UIDs accepted beside `storage` (I-ARCH-12)."""
    sop_classes: tuple[ClassRole, ...] = ()
    """Where any is listed, nothing but these SOP classes is accepted: `UID`, or `UID:scu`, `UID:scp` for one role of
    the peer (I-CONF-03). Verification always is."""
    syntaxes: tuple[str, ...] = ()
    """Transfer Syntax UIDs it accepts for storage, in order of preference; none listed: any, in the preset's order."""
    syntax_choice: Literal["", "acceptor", "proposer"] = ""
    """Whose order decides among the proposed transfer syntaxes (I-CTX-02, M-ASSOC-09); empty: as `preset` has it."""
    duplicates: Literal["keep-first", "keep-first-supplement", "replace", "new-uid", "reject"] = "keep-first"
    """What becomes of another object with a SOP Instance UID that is known already; nothing is ever deleted for it."""
    drop_invalid: bool = False
    """Elements that no reader could make sense of are left out of what it receives (I-STORE-04): values that are longer
    than their VR allows or are none of it, groups that no data set has. The sender is told (B006)."""
    tell_sender: bool = False
    """A sender whose objects were changed by rules is told so by status B000 (X-QR-45)."""
    merge_on_send: Literal["off", "full", "reduced"] = "off"
    """Current values of the index go into every object that it sends: of patient, study and series (M-SEND-07, T14), or
    without name, age and series (M-DWSEND-04, T49)."""
    conflicting: Literal["serve", "withhold"] = "serve"
    """An object in an unsettled conflict of patient or study leaves as it was received, or does not leave."""
    rejected: Literal["hide", "show", "only"] = "hide"
    """Objects that a rejection note took out of sight: hidden to queries and retrievals, shown beside the others, or
    shown alone, as on a desk where they are looked through. DICOMweb does as the first AE."""
    rejected_titles: tuple[RejectionTitle, ...] = ()
    """Those that are shown: rejected by notes of these titles. None listed: by any."""
    rejection_notes: Literal["hide", "show"] = "hide"
    """The notes themselves (Key Object documents)."""
    responses: ResponseLimits = ResponseLimits()
    case_sensitive: bool = False
    """Person names and other folded texts match with their case (M-FIND-04)."""
    accent_sensitive: bool = False
    """Person names and other folded texts match with their marks (M-FIND-05)."""
    character_set: str = "ISO_IR 192"
    """Assumed where a data set without Specific Character Set holds more than ASCII (I-CHAR-04)."""
    unknown_character_set: Literal["keep", "refuse"] = "keep"
    """An object whose Specific Character Set names none that is known: kept as it is, or refused (I-CHAR-06)."""
    validation: Literal["none", "minimal", "iod"] = "none"
    """How closely a received object is looked at (I-STORE-08): identity only; UIDs, identifying attributes and value
    representations; or also the attributes that its SOP class needs."""
    validation_failure: Literal["warn", "refuse"] = "warn"
    """What becomes of an object with faults: kept, with the warning B007; or refused (A900) and set aside."""
    unknown_destination: Literal["refuse", "requestor"] = "refuse"
    """A C-MOVE to a title that no peer has: A801, or try the requestor's own address (I-ASSOC-02)."""
    unknown_destination_port: Port = 104
    """The port of that address."""
    relational: bool = True
    """Relational queries and retrievals are granted where they are asked for (I-CTX-07)."""
    extended_negotiation: bool = True
    """SOP class extended negotiation of queries and retrievals is answered at all (M-ASSOC-02, P-ASSOC-05)."""
    query_classes: tuple[ClassLike, ...] = ()
    """Query and retrieve SOP classes beside the standard's, each with the one of the standard that it works like,
    `UID:UID` (I-FIND-11)."""
    required_keys: bool = False
    """A patient level query has to name at least a part of Patient ID or Patient's Name, one in Study Root those or a
    study's key; C001 otherwise (X-QR-23)."""
    person_names: Literal["as-received", "canonical"] = "as-received"
    """How person names stand in answers to queries: as received, or the alphabetic group alone in capitals with its
    carets, `LN^FN^^^` (I-STORE-09). They match alike."""
    after_failure: Literal["continue", "stop"] = "continue"
    """What a C-MOVE or C-GET does after an object that failed: send the others, or nothing more, so that the answer is
    A702 and never B000 (X-QR-27)."""
    policy: Literal["", Policy] = ""
    """Who may open an association to it; empty: what `dicom_policy` says."""
    reject_empty: bool = False
    """Reject an association of which no presentation context is acceptable, instead of accepting it without any."""
    associations: Whole = 0
    """Associations at once to this title; 0: only the limit of the whole server."""
    associations_per_address: Whole = 0
    """Associations at once to this title from one address; 0: only the limit of the whole server."""
    window: Window = Window()
    commitment: Commitment = Commitment()
    worklist: WorklistAnswers = WorklistAnswers()
    reconciling: Reconciling = Reconciling()
    mpps: ProcedureSteps = ProcedureSteps()
    tls_only: bool = False
    """Associations to it without TLS are rejected."""
    identity: Literal["none", "optional", "required"] = "none"
    """User identities are passed over; or verified where they come and are of a kind that `[identity]` can verify; or
    nobody comes in without."""
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
    artim: Seconds | None = None
    """As `limits.artim`, where it opens an association: for the answer to its request and to its release. The wait for
    a request is the server's, since no AE is named yet. Not given: that of the whole server."""
    connect: Seconds | None = None
    """As `limits.connect`. Not given: that of the whole server."""
    send: Seconds | None = None
    """As `limits.send`, on associations that it accepts or opens. Not given: that of the whole server."""
    object: Whole | None = None
    """As `limits.object`. Not given: that of the whole server."""

    def works_like(self, abstract: str) -> str:
        """The SOP class of the standard that `abstract` works like; itself, where `query_classes` does not say."""
        pairs = (entry.partition(":") for entry in self.query_classes)
        return next((like for own, _, like in pairs if own == abstract), abstract)


class SyntaxPriority(Frozen, frozen=True, kw_only=True):
    """What to send objects of one stored transfer syntax in (I-SEND-05)."""

    stored: str
    """Transfer Syntax UID that objects are stored in."""
    send: tuple[str, ...]
    """Transfer Syntax UIDs in order: the first that the peer accepted, and that the object can be brought into without
    loss, is taken. The first should be `stored` itself where that is compressed."""


class Peer(Frozen, frozen=True, kw_only=True):
    """A remote Application Entity: who may call, and where C-MOVE and the command line may send."""

    title: Title
    """What it calls itself, and is called by."""
    aliases: tuple[Title, ...] = ()
    """Other titles that it calls itself, or that a C-MOVE may name it by; it is called by `title` all the same."""
    host: str = ""
    """Name or address. Where it is given, a caller with this title must come from there (M-SEC-05)."""
    port: Port = 104
    """Where it accepts associations."""
    addresses: tuple[str, ...] = ()
    """Further addresses or networks (`10.1.0.0/16`) that the title may call from."""
    allow: tuple[Permission, ...] = PERMISSIONS
    """What it may ask for once it is connected (M-SEC-06); Verification always."""
    worklist: WorklistView = WorklistView()
    may_reject: bool = True
    """Rejection notes that it sends take objects out of sight (IHE IOCM). If not, they are refused with 0124 and lie in
    the exceptions area."""
    sop_classes: tuple[ClassRole, ...] = ()
    """Where any is listed, it gets only these SOP classes: `UID`, or `UID:scu`, `UID:scp` for one role (I-SEC-04).
    None listed: all that `allow` opens, but nothing where the policy is `named-classes`."""
    called_as: str = ""
    """The calling title we use towards it; empty: the AE that sends."""
    syntaxes: tuple[str, ...] = ()
    """Transfer Syntax UIDs it prefers when we send, in order."""
    syntax_priority: tuple[SyntaxPriority, ...] = ()
    """What objects of a stored transfer syntax are best sent in; for others the stored one first, then `syntaxes`."""
    contexts: Literal["separate", "joined"] = "separate"
    """How a SOP class is proposed to it: a presentation context for each stored transfer syntax and one with the native
    ones, so that it can take each; or one with all of them, so that it chooses (X-QR-04)."""
    decompress: bool = False
    """Compressed objects are sent to it in a native transfer syntax where it takes one (S-DCM-04); video is not.
    `syntax_priority` stands before."""
    lossy: bool = False
    """Transfer syntaxes that lose are followed too where `syntax_priority` or `syntaxes` name them and it accepts them:
    what is sent then is another instance, that says what it was made of (X-QR-07). If not, only what loses nothing."""
    photometric: Literal["", "RGB", "MONOCHROME2"] = ""
    """What images are sent to it in (X-QR-07): palette colours and those of luminance and chrominance in RGB; or all in
    grey: MONOCHROME1 turned round, of colours a copy with a SOP Instance UID of its own. Empty: as they are."""
    substitute_classes: bool = False
    """Where it lacks a class of ultrasound images, they are sent as the other one, retired or current (X-QR-05)."""
    keep_open: Seconds = 0.0
    """An association to it stays open for so long after a C-MOVE, for the next that its contexts fit; 0: one
    association for each C-MOVE (I-ASSOC-05)."""
    character_set: str = ""
    """Assumed for its data sets without Specific Character Set; empty: the AE's."""
    character_set_forced: bool = False
    """`character_set` counts whatever its data sets say (I-CHAR-05)."""
    character_set_sent: str = ""
    """Specific Character Set that all text of the objects sent to it is converted into; empty: as they are."""
    unknown_character: Annotated[str, msgspec.Meta(min_length=1, max_length=8)] = "?"
    """What stands for a character that `character_set_sent` lacks (I-CHAR-08)."""
    issuer: str = ""
    """Issuer of Patient ID where its objects name none."""
    associations: Positive = 4
    """Associations that we open to it at once, over all processes of one machine (I-ASSOC-06)."""
    retries: Whole = 0
    """How often opening an association to it is tried again after a failure that may pass: no connection, a transient
    rejection (X-QR-03, X-MOD-14)."""
    retry_delay: Seconds = 60.0
    """Before each further try."""
    commitment_report: Literal["", "new", "same", "either"] = ""
    """As `commitment.report` of the AE, for this peer; empty: the AE's."""
    max_pdu: Whole = 0
    """Largest PDU announced to it; 0: the limit of the AE that calls."""
    tls: bool = False
    """We call it over TLS."""
    tls_only: bool = False
    """It may call over TLS only."""
    tls_name: str = ""
    """The name or address that its certificate must be for when we call it; empty: its host."""
    tls_fingerprint: str = ""
    """SHA-256 of its certificate in hexadecimal: when we call it, and where it calls over TLS, it must show that very
    one, for whatever name. Empty: any that leads to a trusted one."""
