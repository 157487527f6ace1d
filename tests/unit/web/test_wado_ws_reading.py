"""SOAP requests as `wado_ws.reading` takes them: what they say, and what hostile ones cost."""

import gc
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soap_messages as soap
from isocenter.web.wado_ws.faults import Fault
from isocenter.web.wado_ws.reading import LARGEST, Reading
from isocenter.web.wado_ws.vocabulary import Kind
from soap_messages import Asked

ONE = Asked("1.2", "1.2.3", "1.2.3.4")


def test_a_request_says_all_of_this() -> None:
    more = (
        "<i:HomeCommunityId>urn:oid:1.9</i:HomeCommunityId><r:FrameNumber> 2 </r:FrameNumber>"
        "<r:ContentTypeList><r:ContentType>Image/JPEG</r:ContentType><r:ContentType>image/png</r:ContentType>"
        "</r:ContentTypeList>"
    )
    header = "<a:MessageID>urn:uuid:1</a:MessageID>"
    found = Reading().read(soap.envelope(soap.rendered(ONE._replace(more=more)), header).encode())
    assert (found.soap, found.operation.kind) == (soap.SOAP_1_2, Kind.RENDERED)
    assert found.addressing.message_id == "urn:uuid:1"
    (wanted,) = found.documents
    assert (wanted.study, wanted.series, wanted.document) == ONE[:3]
    assert (wanted.repository, wanted.community) == (soap.REPOSITORY, "urn:oid:1.9")
    assert wanted.parameters == {"FrameNumber": "2"}
    assert wanted.content_types == ("image/jpeg", "image/png")


def test_documents_and_syntaxes_keep_their_order() -> None:
    asked = [ONE._replace(document=f"1.{n}") for n in range(200)]
    found = Reading().read(
        soap.envelope(soap.documents(*asked, syntaxes=["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])).encode()
    )
    assert [each.document for each in found.documents] == [each.document for each in asked]
    assert found.syntaxes == ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


def _long_attribute() -> bytes:
    return soap.envelope(soap.documents(ONE)).encode().replace(b"<s:Body>", b"<s:Body x='%b'>" % (b"y" * (1 << 20)))


def _many_attributes() -> bytes:
    names = b" ".join(b"a%d=''" % n for n in range(100_000))
    return soap.envelope(soap.documents(ONE)).encode().replace(b"<s:Body>", b"<s:Body %b>" % names)


def _rendered(more: str) -> bytes:
    return soap.envelope(soap.rendered(ONE._replace(more=more))).encode()


LAUGHS = b"".join(b'<!ENTITY e%d "%b">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 12))
HOSTILE: dict[str, bytes | Callable[[], bytes]] = {
    "external entity": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "external subset": b'<!DOCTYPE a SYSTEM "http://192.0.2.1/x.dtd"><a/>',
    "billion laughs": b'<!DOCTYPE a [<!ENTITY e0 "ha">%b]><a>&e11;</a>' % LAUGHS,
    "quadratic blow-up": lambda: b'<!DOCTYPE a [<!ENTITY x "%b">]><a>%b</a>' % (b"y" * 100_000, b"&x;" * 10_000),
    "parameter entity": b'<!DOCTYPE a [<!ENTITY % x SYSTEM "http://192.0.2.1/x"> %x;]><a/>',
    "deep nesting": lambda: b"<a>" * 200_000,
    "a long attribute": _long_attribute,
    "many attributes": _many_attributes,
    "a long comment": lambda: b"<!--" + b"x" * (4 << 20),
    "many elements": lambda: soap.envelope("<x>" + "<y/>" * 1_000_001 + "</x>").encode(),
    "many expressions": soap.envelope(soap.information(ONE, outside="<r:XPath>/</r:XPath>" * 1001)).encode(),
    "a long text": soap.envelope(soap.documents(ONE._replace(document="1" * 20_000))).encode(),
    "many media types": _rendered("<r:ContentType>a</r:ContentType>" * 65),
    "many parameters": _rendered("".join(f"<r:p{n}/>" for n in range(40))),
    "an encoding nobody knows": b'<?xml version="1.0" encoding="x-none"?><a/>',
    "a multi-byte encoding": b'<?xml version="1.0" encoding="gbk"?><a/>',
    "no XML": b"\0\1\2",
    "nothing": b"",
    "the end missing": soap.envelope(soap.documents(ONE)).encode()[:-5],
    "no envelope": b"<a/>",
    "another version": soap.envelope(soap.documents(ONE), soap="urn:soap:3").encode(),
    "no body": f'<s:Envelope xmlns:s="{soap.SOAP_1_2}"/>'.encode(),
    "an empty body": soap.envelope("").encode(),
    "two operations": soap.envelope(soap.documents(ONE) * 2).encode(),
    "another operation": soap.envelope("<x:Delete xmlns:x='urn:x'/>").encode(),
    "no document": soap.envelope(soap.documents()).encode(),
    "a document without UID": soap.envelope(soap.documents(ONE._replace(document=" "))).encode(),
    "a document without study": soap.envelope(soap.documents(ONE._replace(study=""))).encode(),
}


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_messages_are_refused(message: bytes | Callable[[], bytes]) -> None:
    message = message() if callable(message) else message
    assert len(message) <= LARGEST
    with pytest.raises(Fault):
        Reading().read(message)


EXPENSIVE = ["billion laughs", "quadratic blow-up", "deep nesting", "a long comment", "many attributes"]


@pytest.mark.parametrize("name", EXPENSIVE)
def test_they_cost_little_memory(name: str) -> None:
    made = HOSTILE[name]
    message = made() if callable(made) else made
    gc.collect()
    tracemalloc.start()
    try:
        with pytest.raises(Fault):
            Reading().read(message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_comes_is_a_request_or_a_fault(data: st.DataObject) -> None:
    message = bytearray(soap.envelope(soap.rendered(ONE), "<a:Action>x</a:Action>").encode())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(message) - 1))
        message[at : at + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=8))
    with suppress(Fault):  # nothing else may be raised
        assert Reading().read(bytes(message)).documents
