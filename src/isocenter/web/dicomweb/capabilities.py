"""What this service can do (PS3.18 8.9): as WADL, and as OpenAPI for those who prefer JSON.

Both are made of the routing table, so that they can't name a resource that isn't there. Who prefers HTML or Markdown
gets the conformance statement instead.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from isocenter import __version__
from isocenter.web import media
from isocenter.web.call import Call
from isocenter.web.coding import compressed
from isocenter.web.dicomweb.transactions import BESIDE, OPENAPI, STATEMENT, WADL, Transaction, transaction
from isocenter.web.problem import not_acceptable
from isocenter.web.reply import Reply
from isocenter.web.root import MOUNT

_XML_NAMES: Final = (WADL, "application/xml", "text/xml")
_JSON_NAMES: Final = (OPENAPI, media.PLAIN_JSON)

Table = Sequence[tuple[str, Iterable[str]]]
"""Paths, with names in braces where they vary, and the methods that each takes."""


def wants_statement(call: Call) -> bool:
    """Whether the client would rather have the conformance statement than any form of this document."""
    if call.context.statement is None or any(name == "_wadl" for name, _ in call.query):
        return False
    return bool(call.accepted) and call.accepted[0].name in STATEMENT


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


def rows(table: Table) -> Iterator[tuple[str, str, str, str, str]]:
    """The same for people, as rows of the conformance statement: path, method, transaction, media types of requests and
    of answers."""
    own = [(path, [(method, transaction(method, path)) for method in methods]) for path, methods in table]
    for path, methods in own:
        yield from (_row(f"{MOUNT}{_plain(path)}", *one) for one in methods)
    for service in BESIDE:
        yield from (_row(service.path, *one) for one in service.methods)


def _row(path: str, method: str, one: Transaction) -> tuple[str, str, str, str, str]:
    return path, method, one.name, "\n".join(one.takes) or "none", "\n".join(one.answers) or "none"


def wadl(root: str, table: Table) -> bytes:
    """The Web Application Description Language document."""
    out = ['<?xml version="1.0" encoding="UTF-8"?>\n', '<application xmlns="http://wadl.dev.java.net/2009/02">']
    out.append(f"<resources base={quoteattr(root + '/')}>")
    for path, methods in table:
        out += _wadl_resource(path, [(method, transaction(method, path)) for method in methods])
    out.append(f"</resources><resources base={quoteattr(root.removesuffix(MOUNT) + '/')}>")
    for service in BESIDE:
        out += _wadl_resource(service.path, service.methods)
    out.append("</resources></application>\n")
    return "".join(out).encode()


def _wadl_resource(path: str, methods: Sequence[tuple[str, Transaction]]) -> Iterator[str]:
    yield f"<resource path={quoteattr(_plain(path).lstrip('/'))}>"
    yield from (f'<param name="{name}" style="template" required="true"/>' for name in _names(path))
    for method, one in methods:
        yield from _wadl_method(method, one)
    yield "</resource>"


def _wadl_method(method: str, one: Transaction) -> Iterator[str]:
    yield f"<method name={quoteattr(method)} id={quoteattr(_id(one))}><request>"
    yield from (f'<param name="{name}" style="query"/>' for name in one.parameters)
    yield from (f"<representation mediaType={quoteattr(kind)}/>" for kind in one.takes)
    yield "</request><response>"
    yield from (f"<representation mediaType={quoteattr(kind)}/>" for kind in one.answers)
    yield "</response></method>"


def openapi(root: str, table: Table) -> bytes:
    """The OpenAPI 3.0 document."""
    paths = {_plain(path): _item(path, [(one, transaction(one, path)) for one in methods]) for path, methods in table}
    beside = [{"url": root.removesuffix(MOUNT)}]
    paths |= {service.path: {"servers": beside, **_item(service.path, service.methods)} for service in BESIDE}
    info = {"title": "Isocenter DICOMweb", "version": __version__}
    return json.dumps({"openapi": "3.0.3", "info": info, "servers": [{"url": root}], "paths": paths}).encode()


def _item(path: str, methods: Sequence[tuple[str, Transaction]]) -> dict[str, Any]:
    text = {"type": "string"}
    named = [{"name": name, "in": "path", "required": True, "schema": text} for name in _names(path)]
    item: dict[str, Any] = {"parameters": named} if named else {}
    for method, one in methods:
        answer = {"description": one.name, **({"content": {kind: {} for kind in one.answers}} if one.answers else {})}
        operation: dict[str, Any] = {"summary": one.name, "responses": {"default": answer}}
        operation["parameters"] = [{"name": name, "in": "query", "schema": text} for name in one.parameters]
        if one.takes:
            operation["requestBody"] = {"content": {kind: {} for kind in one.takes}}
        item[method.lower()] = operation
    return item


def _id(one: Transaction) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", one.name)


def _plain(path: str) -> str:
    return path.replace("+}", "}")


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\+?\}", path)
