"""What this service can do (PS3.18 8.9): as WADL, and as OpenAPI for those who prefer JSON.

Both are made of the routing table, so that they can't name a resource that isn't there.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import quoteattr

from isocenter import __version__
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.problem import not_acceptable
from isocenter.web.reply import Reply

WADL: Final = "application/vnd.sun.wadl+xml"
OPENAPI: Final = "application/vnd.oai.openapi+json"
_XML_NAMES: Final = (WADL, "application/xml", "text/xml")
_JSON_NAMES: Final = (OPENAPI, media.PLAIN_JSON)

Table = Sequence[tuple[str, Iterable[str]]]
"""Paths, with names in braces where they vary, and the methods that each takes."""

_SEARCHED: Final = (media.JSON, f'{media.MULTIPART}; type="{media.XML}"')
_PARTS: Final = tuple(f'{media.MULTIPART}; type="{kind}"' for kind in (media.DICOM, media.JSON, media.XML))
_SEARCHING: Final = ("includefield", "limit", "offset", "fuzzymatching", "emptyvaluematching", "multiplevaluematching")


class Transaction(NamedTuple):
    """One method of a resource: its name in PS3.18, what it takes and what it answers."""

    name: str
    takes: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


def transaction(method: str, path: str) -> Transaction:
    """What PS3.18 calls this method of this resource."""
    last = path.rstrip("/").rpartition("/")[2]
    if method == "POST" and "/reject/" in path:
        return Transaction("Reject")
    if method == "POST":
        takes = (*_PARTS, media.DICOM, media.JSON, media.XML)
        return Transaction("Store Instances", takes, (media.JSON, media.XML))
    if method == "DELETE":
        return Transaction("Delete")
    if not last:
        return Transaction("Retrieve Capabilities", (), (WADL, OPENAPI))
    if last in ("patients", "studies", "series", "instances"):
        return Transaction(f"Search for {last.capitalize()}", (), _SEARCHED, _SEARCHING)
    if last == "metadata":
        return Transaction("Retrieve Metadata", (), _SEARCHED, ("accept",))
    if last == "{frames}":
        return Transaction("Retrieve Frames", (), (f'{media.MULTIPART}; type="{media.OCTETS}"', media.OCTETS))
    if last == "{bulk+}":
        return Transaction("Retrieve Bulk Data", (), (media.OCTETS, f'{media.MULTIPART}; type="{media.OCTETS}"'))
    if last == "conformance":
        return Transaction("Retrieve Conformance Statement", (), ("text/html", "text/markdown"))
    kinds = (f'{media.MULTIPART}; type="{media.DICOM}"', media.DICOM, "application/zip")
    return Transaction(f"Retrieve {last.strip('{}').capitalize()}", (), kinds, ("accept",))


def reply(call: Call, table: Table) -> Reply:
    """The document in the form that the client likes best; WADL where it doesn't say. Raises Problem 406."""
    headers = {"Allow": "GET, HEAD, OPTIONS", "Vary": "Accept, Accept-Encoding"}
    named = any(name == "_wadl" for name, _ in call.query)
    for wished in (not named and call.accepted) or [media.MediaType(WADL, {})]:
        for kind in _XML_NAMES:
            if media.covers(wished.name, kind):
                return compressed(call, Reply(200, {"Content-Type": kind, **headers}, wadl(call.root, table)))
        for kind in _JSON_NAMES:
            if media.covers(wished.name, kind):
                return compressed(call, Reply(200, {"Content-Type": kind, **headers}, openapi(call.root, table)))
    raise not_acceptable(f"the capabilities come as {WADL} or {OPENAPI}")


def wadl(root: str, table: Table) -> bytes:
    """The Web Application Description Language document."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n', '<application xmlns="http://wadl.dev.java.net/2009/02">']
    out.append(f"<resources base={quoteattr(root + '/')}>")
    for path, methods in table:
        out.append(f"<resource path={quoteattr(_plain(path).lstrip('/'))}>")
        out += [f'<param name="{name}" style="template" required="true"/>' for name in _names(path)]
        for method in methods:
            out += _wadl_method(method, transaction(method, path))
        out.append("</resource>")
    out.append("</resources></application>\n")
    return "".join(out).encode()


def _wadl_method(method: str, one: Transaction) -> Iterator[str]:
    yield f"<method name={quoteattr(method)} id={quoteattr(one.name.replace(' ', ''))}><request>"
    yield from (f'<param name="{name}" style="query"/>' for name in one.parameters)
    yield from (f"<representation mediaType={quoteattr(kind)}/>" for kind in one.takes)
    yield "</request><response>"
    yield from (f"<representation mediaType={quoteattr(kind)}/>" for kind in one.answers)
    yield "</response></method>"


def openapi(root: str, table: Table) -> bytes:
    """The OpenAPI 3.0 document."""
    paths = {_plain(path): _item(path, methods) for path, methods in table}
    info = {"title": "Isocenter DICOMweb", "version": __version__}
    return json.dumps({"openapi": "3.0.3", "info": info, "servers": [{"url": root}], "paths": paths}).encode()


def _item(path: str, methods: Iterable[str]) -> dict[str, Any]:
    text = {"type": "string"}
    named = [{"name": name, "in": "path", "required": True, "schema": text} for name in _names(path)]
    item: dict[str, Any] = {"parameters": named} if named else {}
    for method in methods:
        one = transaction(method, path)
        answer = {"description": one.name, **({"content": {kind: {} for kind in one.answers}} if one.answers else {})}
        operation: dict[str, Any] = {"summary": one.name, "responses": {"default": answer}}
        operation["parameters"] = [{"name": name, "in": "query", "schema": text} for name in one.parameters]
        if one.takes:
            operation["requestBody"] = {"content": {kind: {} for kind in one.takes}}
        item[method.lower()] = operation
    return item


def _plain(path: str) -> str:
    return path.replace("+}", "}")


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\+?\}", path)
