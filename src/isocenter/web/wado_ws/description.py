"""The description of the service (WSDL 1.1 with its schemas), as clients read it at `?wsdl` (I-WEB-04)."""

from functools import cache
from importlib.resources import files
from typing import Final
from xml.sax.saxutils import escape

_LOCATION: Final = "@LOCATION@"


def wsdl(location: str) -> bytes:
    """The document for a service at the URL `location`."""
    return _template().replace(_LOCATION, escape(location, {'"': "&quot;"})).encode()


@cache
def _template() -> str:
    return files("isocenter.web.wado_ws").joinpath("wado_ws.wsdl").read_text(encoding="utf-8")
