"""The address under which a client sees this service, for RetrieveURL and BulkDataURI.

A configured public root wins; then what a proxy says (Forwarded, RFC 7239; X-Forwarded-*); then Host. What isn't a
plain host name or address is not repeated.
"""

import re
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.types import Scope

MOUNT = "/dicom-web"
"""The canonical path of DICOMweb, whichever alias was asked."""

_HOST = re.compile(r"[A-Za-z0-9.\-]{1,255}(?::\d{1,5})?\Z|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?\Z")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~\-]+)*/?\Z")
_FORWARDED = re.compile(r'(?:^|[;,\s])(proto|host)=(?:"([^"]*)"|([^;,\s]*))', re.IGNORECASE)


def service_root(scope: Scope, headers: Headers, public_root: str) -> str:
    """The DICOMweb root without a slash at its end: `https://pacs.example.org/dicom-web`."""
    if public_root:
        return public_root.rstrip("/") + MOUNT
    scheme, host, prefix = _forwarded(headers)
    scheme = scheme if scheme in ("http", "https") else scope.get("scheme", "http")
    host = host or _with_port(headers.get("host", ""), scope)
    if not _HOST.match(host):
        host = _server(scope)
    return f"{scheme}://{host}{prefix}{MOUNT}"


def study_url(root: str, study: str, series: str = "", instance: str = "") -> str:
    """The resource of a study, a series or an instance."""
    url = f"{root}/studies/{_quoted(study)}"
    if series:
        url += f"/series/{_quoted(series)}"
    if instance:
        url += f"/instances/{_quoted(instance)}"
    return url


def non_patient_url(root: str, resource: str, uid: str) -> str:
    """The resource of an instance that belongs to no patient; `resource` is its npi-name (PS3.18 12.1.1)."""
    return f"{root}/{resource}/{_quoted(uid)}"


def _with_port(host: str, scope: Scope) -> str:
    """`host` with the port that it lacks: dicomweb-client leaves it out. Only where the client named this very machine,
    since a proxy that passes the name on has a port of its own."""
    server = scope.get("server") or ("", None)
    direct = host in (server[0], f"[{server[0]}]", "localhost", "127.0.0.1", "[::1]")
    return f"{host}:{server[1]}" if direct and server[1] not in (None, 80, 443) else host


def _quoted(uid: str) -> str:
    return quote(uid, safe="")


def _forwarded(headers: Headers) -> tuple[str, str, str]:
    """(scheme, host, path prefix) that the nearest client saw, each '' where unknown."""
    scheme, host = _first(headers, "x-forwarded-proto"), _first(headers, "x-forwarded-host")
    port = _first(headers, "x-forwarded-port")
    if host and port.isdigit() and ":" not in host and port not in ("80", "443"):
        host = f"{host}:{port}"
    first_hop = headers.get("forwarded", "").split(",")[0]
    for name, quoted, bare in _FORWARDED.findall(first_hop):
        if name.lower() == "proto":
            scheme = quoted or bare
        else:
            host = quoted or bare
    prefix = _first(headers, "x-forwarded-prefix").rstrip("/")
    return scheme.lower(), host, prefix if _PREFIX.match(prefix) else ""


def _first(headers: Headers, name: str) -> str:
    return headers.get(name, "").split(",")[0].strip()


def _server(scope: Scope) -> str:
    host, port = scope.get("server") or ("localhost", None)
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port else host
