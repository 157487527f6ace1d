"""SOAP faults (SOAP 1.2 part 1 5.4, SOAP 1.1 4.4): what is wrong with a message, in SOAP's terms.

What is wrong with one document of a request is no fault: it stands in the response (`vocabulary.Code`).
"""

from enum import Enum
from typing import Final
from xml.sax.saxutils import escape

from isocenter.web.wado_ws.vocabulary import SOAP_1_1, SOAP_1_2, WSA

FAULT_ACTION: Final = WSA + "/fault"
"""`wsa:Action` of every fault of ours."""


class Blame(Enum):
    """Fault codes, as SOAP 1.2 and as SOAP 1.1 name them."""

    SENDER = ("Sender", "Client")
    RECEIVER = ("Receiver", "Server")
    MUST_UNDERSTAND = ("MustUnderstand", "MustUnderstand")
    VERSION_MISMATCH = ("VersionMismatch", "VersionMismatch")


class Fault(Exception):
    """A message that is answered with a fault. `reason`: for the client's developer, without the message's values.

    `status` is 400 for whatever the client can mend, in SOAP 1.1 too, whose own binding knows only 500: monitoring must
    be able to tell our failures from theirs.
    """

    def __init__(
        self,
        reason: str,
        blame: Blame = Blame.SENDER,
        *,
        status: int = 400,
        subcode: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.blame, self.status = reason, blame, status
        self.subcode = subcode
        """One of WS-Addressing's, by its local name."""
        self.headers = headers or {}


def fault_element(fault: Fault, soap: str) -> str:
    """The `Fault` element in a SOAP version; the prefixes `soap` and `wsa` are bound around it."""
    reason = escape(fault.reason)
    if soap == SOAP_1_1:
        code = f"wsa:{fault.subcode}" if fault.subcode else f"soap:{fault.blame.value[1]}"
        return f"<soap:Fault><faultcode>{code}</faultcode><faultstring>{reason}</faultstring></soap:Fault>"
    subcode = f"<soap:Subcode><soap:Value>wsa:{fault.subcode}</soap:Value></soap:Subcode>" if fault.subcode else ""
    return (
        f"<soap:Fault><soap:Code><soap:Value>soap:{fault.blame.value[0]}</soap:Value>{subcode}</soap:Code>"
        f'<soap:Reason><soap:Text xml:lang="en">{reason}</soap:Text></soap:Reason></soap:Fault>'
    )


def upgrade_header() -> str:
    """The header block that names the SOAP versions taken, best first (SOAP 1.2 part 1 5.4.7)."""
    return (
        f'<soap:Upgrade><soap:SupportedEnvelope qname="a:Envelope" xmlns:a="{SOAP_1_2}"/>'
        f'<soap:SupportedEnvelope qname="b:Envelope" xmlns:b="{SOAP_1_1}"/></soap:Upgrade>'
    )
