"""DICOMweb: STOW-RS, QIDO-RS, WADO-RS and DELETE as one ASGI application."""

from isocenter.web.context import WebContext, WebSettings
from isocenter.web.dicomweb.service import create_app
from isocenter.web.lanes import Lanes

__all__ = ["Lanes", "WebContext", "WebSettings", "create_app"]
