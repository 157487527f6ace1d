"""The DICOM network engine: upper layer, DIMSE messages, associations of both sides.

Serving: `Acceptor(policy, services, settings).serve(listener)`; `TitlePolicy` or another `Policy` decides on requests,
the `ServiceMap` finds the `Service` of each message (see `service`). Asking: `connect(...)` gives a
`ClientAssociation`. Command sets are plain dictionaries (see `commands`); data sets are bytes in the context's transfer
syntax.
"""

from isocenter.dimse import commands
from isocenter.dimse.acceptor import Acceptor, Counter, LocalCounter, Sharing
from isocenter.dimse.association import Association
from isocenter.dimse.client import ClientAssociation, Progress, Receive, connect
from isocenter.dimse.commands import Command, response
from isocenter.dimse.failures import (
    AssociationAborted,
    AssociationRejected,
    AssociationReleased,
    ContextNotAccepted,
    PeerTimeout,
    PeerUnreachable,
    RejectedPermanently,
    RejectedTransiently,
    SourceFailed,
)
from isocenter.dimse.invoking import Outgoing, Response
from isocenter.dimse.negotiation import Admission, Decision, Offer, Policy, Preference, QueryExtras, TitlePolicy
from isocenter.dimse.outbound import BytesSource, FileSource, Source
from isocenter.dimse.pdu import AssociateAccept, AssociateReject, AssociateRequest, UserIdentity
from isocenter.dimse.service import BufferedService, BufferSink, Context, NullSink, Service, ServiceMap, Sink
from isocenter.dimse.settings import ProposedContext, Settings
from isocenter.dimse.slabs import Slabs
from isocenter.dimse.transport import Secure, Session

__all__ = [
    "Acceptor",
    "Admission",
    "AssociateAccept",
    "AssociateReject",
    "AssociateRequest",
    "Association",
    "AssociationAborted",
    "AssociationRejected",
    "AssociationReleased",
    "BufferSink",
    "BufferedService",
    "BytesSource",
    "ClientAssociation",
    "Command",
    "Context",
    "ContextNotAccepted",
    "Counter",
    "Decision",
    "FileSource",
    "LocalCounter",
    "NullSink",
    "Offer",
    "Outgoing",
    "PeerTimeout",
    "PeerUnreachable",
    "Policy",
    "Preference",
    "Progress",
    "ProposedContext",
    "QueryExtras",
    "Receive",
    "RejectedPermanently",
    "RejectedTransiently",
    "Response",
    "Secure",
    "Service",
    "ServiceMap",
    "Session",
    "Settings",
    "Sharing",
    "Sink",
    "Slabs",
    "Source",
    "SourceFailed",
    "TitlePolicy",
    "UserIdentity",
    "commands",
    "connect",
    "response",
]
