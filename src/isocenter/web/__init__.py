"""DICOMweb, WADO-URI and WADO-WS as one ASGI application."""

from isocenter.web.context import WebContext, WebSettings
from isocenter.web.doors import create_app
from isocenter.web.lanes import Lanes

__all__ = ["Lanes", "WebContext", "WebSettings", "create_app"]
