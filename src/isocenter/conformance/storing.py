"""What an activity does beyond its tables: proposal and choice of contexts, and the behaviour that PS3.4 asks to
tell."""

from collections.abc import Iterator

from isocenter.config import HostedAE, Settings
from isocenter.conformance.model import Block, Bullets, Paragraph
from isocenter.declarations import rejections
from isocenter.declarations.activities import Activity, Commitment
from isocenter.declarations.statuses import Service


def proposing(activity: Activity) -> list[Block]:
    """When which contexts are proposed, and which transfer syntax is chosen of several that are accepted (C-CHK-11)."""
    if not activity.storage:
        return [
            Paragraph(
                "Of several transfer syntaxes that are accepted in different contexts, the first accepted context in "
                "the order of proposal is used."
            )
        ]
    return [
        Paragraph(
            "Proposed are only the SOP classes of the instances to be sent. For each class there is one context for "
            "each transfer syntax in which its instances are stored, with that syntax alone, and one with the native "
            "transfer syntaxes (preferred ones of the peer first) to fall back on; a peer may be set to be offered all "
            "of them in one context. More than 128 contexts are spread over associations."
        ),
        Bullets(
            (
                "Choice of the transfer syntax: an instance leaves in the syntax that it is stored in, byte for byte, "
                "if a context with it was accepted; else in the first native syntax, in the peer's order of "
                "preference, that was accepted, or in any other accepted syntax that it can be brought into without "
                "loss. A list of priorities for the peer, where there is one, comes first.",
                "Pixel data is decompressed, or compressed without loss, where that is needed to send an instance; it "
                "stays the same SOP Instance. It is never compressed lossily on the way. Images that are held only "
                "lossy compressed are decompressed for a peer that does not accept their transfer syntax. Video is "
                "sent as it is stored or not at all: such instances fail, and the others are sent.",
                "The SOP class of an instance is never changed: there is no fall-back to a related general SOP class. "
                "An instance whose class was not accepted fails, and the others are sent.",
            )
        ),
    ]


def as_scu(activity: Activity) -> list[Block]:
    """Behaviour as SCU."""
    if activity.dimse is Service.STORE:
        return [
            Paragraph(
                "Instances leave as they were received, with all private and extended attributes, unless a correction, "
                "a rule for sending or a conversion of character sets covers them (section 8.1). Optional attributes "
                "are neither added nor left out."
            )
        ]
    if activity.dimse is Service.GET:
        return [Paragraph("Instances are written to files as they come, and are acknowledged once they are complete.")]
    if activity.commitment is Commitment.REPORT:
        return [
            Paragraph(
                "The AE takes the role of SCP on an association that it initiates, by role selection, to report on an "
                "earlier request."
            )
        ]
    return []


def accepting(ae: HostedAE, activity: Activity) -> list[Block]:
    """Rules of acceptance that belong to an activity."""
    if activity.dimse is Service.GET:
        return [
            Paragraph(
                "For the storage classes among these contexts the requestor proposes the SCP role by role selection; "
                "the AE is the SCU of the C-STORE sub-operations."
            )
        ]
    if not activity.storage:
        return []
    specialized = (
        "Specialized and private SOP classes are accepted like any other storage class, whether or not they are "
        "announced by SOP class common extended negotiation; they are treated as storage classes of their own."
        if ae.storage == "any"
        else "Specialized and private SOP classes are accepted where they are listed below."
    )
    syntaxes = (
        "Transfer syntaxes that this statement does not know are accepted as well, where nothing else is proposed: "
        "data sets are kept as they come."
    )
    return [Paragraph(specialized), *([] if ae.syntaxes else [Paragraph(syntaxes)])]


def as_scp(settings: Settings, ae: HostedAE, activity: Activity) -> list[Block]:
    """Behaviour as SCP."""
    match activity.dimse:
        case Service.STORE:
            return [
                Paragraph(
                    "The AE is a Level 2 (full) storage SCP: it keeps all attributes of an instance, also private "
                    "ones, unaltered, and without limit of time. Digital signatures stay intact in what is stored."
                ),
                Bullets((_VALIDATION[ae.validation], *_kept(settings, ae))),
            ]
        case Service.FIND:
            return [Paragraph(_limits(ae)), Paragraph(_NAMES[ae.person_names]), Paragraph(_rejected(ae))]
        case Service.WORKLIST:
            return [Paragraph(_scheduled(ae)), Paragraph(_NAMES[ae.person_names])]
        case Service.MOVE:
            unknown = (
                "is refused with A801"
                if ae.unknown_destination == "refuse"
                else f"is taken to be at the requestor's address, port {ae.unknown_destination_port}"
            )
            return [
                Paragraph(
                    f"The move destination is looked up among the known peers; one that is unknown {unknown}. "
                    f"{_limits(ae)}"
                ),
                Paragraph(_FAILED[ae.after_failure]),
                Paragraph(_rejected(ae)),
            ]
        case Service.GET:
            return [Paragraph(_limits(ae)), Paragraph(_FAILED[ae.after_failure]), Paragraph(_rejected(ae))]
    if activity.commitment is Commitment.ANSWER:
        return [Paragraph(_committing(ae))]
    if activity.commitment is Commitment.TOLD:
        return [
            Paragraph(
                "The peer, which opens the association, proposes the SCP role for itself by role selection. Reports on "
                f"requests of more than {ae.commitment.timeout:g} s ago are refused."
            )
        ]
    return []


def _kept(settings: Settings, ae: HostedAE) -> Iterator[str]:
    """What becomes of what is received."""
    if ae.role == "reconcile":
        yield from _HELD
        return
    yield _DUPLICATES[ae.duplicates]
    yield from _STORED
    yield from _resent(settings)


def _scheduled(ae: HostedAE) -> str:
    """Which worklist entries are found."""
    habits = ae.worklist
    until = f"reach the state {habits.until}" if habits.until else "are completed, cancelled or discontinued"
    limit = f" A query with more than {habits.limit} matches is refused." if habits.limit else ""
    own = " A peer finds only the entries of the station that has its AE title." if habits.own_station else ""
    return (
        f"Entries are found until they {until}; a query that names a Scheduled Procedure Step Status finds those of "
        f"that state.{own}{limit} Between every hundred responses it is looked for a cancel request."
    )


_VALIDATION = {
    "none": "Received data sets are not validated beyond their identity: SOP Class UID and SOP Instance UID, Study and "
    "Series Instance UID.",
    "minimal": "Received data sets are validated in UIDs, identifying attributes and value representations.",
    "iod": "Received data sets are validated, also for the attributes that their SOP class requires.",
}
_DUPLICATES = {
    "keep-first": "An instance that is in the archive already is kept beside the first if it differs; the first one "
    "stays in force.",
    "keep-first-supplement": "An instance that is in the archive already is kept beside the first if it differs; the "
    "first one stays in force, supplemented by what it lacked.",
    "replace": "An instance that is in the archive already comes into force in place of the first if it differs; the "
    "first is kept beside it.",
    "new-uid": "An instance that is in the archive already, and differs, is stored under a new SOP Instance UID, which "
    "the sender is told by status B000.",
    "reject": "An instance that is in the archive already, and differs, is refused with 0111.",
}
_STORED = (
    "Success is answered only when object, name and index entry are durable.",
    "Stored instances can be queried and retrieved at once, by the services that the AEs offer.",
    "An instance that can't be stored is set aside with its reason, where it is complete, for the operator to look at.",
)
_HELD = (
    "Success is answered only when object and name are durable.",
    "Stored instances wait until their study is reconciled with a worklist, or a person has decided about it; until "
    "then no query finds them, and storage commitment is not given. Their patient and order become those of the "
    "worklist item; the former values are told in Original Attributes Sequence. They then go to the archive without "
    "an association, where what holds for the AEs of the archive holds for them.",
    "An instance that can't be stored, or whose study a person rejects, is set aside with its reason.",
)
_NAMES = {
    "as-received": "Person names are returned as they were received.",
    "canonical": "Person names are returned in capitals with all carets, in their alphabetic component group.",
}
_FAILED = {
    "continue": "After a sub-operation that failed the others are performed all the same.",
    "stop": "After a sub-operation that failed no other is performed.",
}


_REJECTED = {
    "hide": "are hidden, as if they were not there",
    "show": "are shown beside the others",
    "only": "are all that is shown",
}


_RESENT = {
    "refuse": "is refused with 0111",
    "hide": "is acknowledged and stays hidden",
    "revive": "is acknowledged and comes back in sight",
}


def _resent(settings: Settings) -> Iterator[str]:
    """What rejection notes do here, title by title."""
    yield (
        "Key Object Selection Documents with the titles below are rejection notes (IHE IOCM): what they name, whether "
        "it has arrived or comes later, goes out of sight."
    )
    for title in rejections.TITLES:
        chosen = getattr(settings.rejection, title.name)
        kept = "is kept" if chosen.remove_after is None else f"is deleted after {chosen.remove_after:g} s"
        yield (
            f"{title.code} {title.meaning}: what it rejected {kept}; an instance of it that is sent again "
            f"{_RESENT[chosen.resend]}."
        )
    forbidden = ", ".join(peer.title for peer in settings.peers if not peer.may_reject)
    if forbidden:
        yield f"Rejection notes of these AEs are refused with 0124: {forbidden}."


def _rejected(ae: HostedAE) -> str:
    shown = ", ".join(ae.rejected_titles) if ae.rejected != "hide" else ""
    titles = f" of the titles {shown}" if shown else ""
    notes = "shown" if ae.rejection_notes == "show" else "hidden"
    return (
        f"Instances that a rejection note{titles} took out of sight (IHE IOCM) {_REJECTED[ae.rejected]}; rejection "
        f"notes themselves are {notes}."
    )


def _limits(ae: HostedAE) -> str:
    limits = (("patient", ae.responses.patient), ("study", ae.responses.study), ("series", ae.responses.series),
              ("image", ae.responses.image))  # fmt: skip
    told = ", ".join(f"{n} at {level} level" for level, n in limits if n)
    return f"More matches than these are refused: {told}." if told else "There is no limit to the number of matches."


def _committing(ae: HostedAE) -> str:
    where = {
        "new": "over a new association",
        "same": "over the association of the request",
        "either": "over the association of the request while it is open, otherwise over a new one",
    }[ae.commitment.report]
    looked = {
        "row": "its entry in the index",
        "size": "its entry in the index and the size of its file",
        "digest": "its entry in the index and every byte of its file",
    }[ae.commitment.check]
    return (
        f"The request is answered once it is durable, and carried out later, also after a restart. An instance counts "
        f"as committed by {looked}. The report is delivered {where}, with {ae.commitment.retries} further tries."
    )
