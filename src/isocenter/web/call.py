"""One request as the handlers see it."""

from functools import cached_property
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from isocenter.archive.rejection.rejected import view_of
from isocenter.archive.retrieval.instances import Access, Located, View
from isocenter.web import media
from isocenter.web.body import BODY
from isocenter.web.context import WebContext
from isocenter.web.departing import Departing
from isocenter.web.problem import bad_request
from isocenter.web.root import service_root

_MOST_PARAMETERS = 1000


class Call:
    """A request: its parts of the path by name in `path`, and what else a handler asks for."""

    def __init__(self, scope: Scope, receive: Receive, context: WebContext, path: dict[str, str]) -> None:
        self.scope = scope
        self.receive = receive
        self.context = context
        self.path = path
        self.headers = Headers(scope=scope)

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The query parameters, decoded, in their order; a name without a value has ''."""
        text = self.scope["query_string"].decode("latin-1")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="strict")
        except (ValueError, UnicodeDecodeError) as fault:
            raise bad_request("the query string is too long or not UTF-8") from fault
        if any("\0" in value for pair in pairs for value in pair):
            raise bad_request("a NUL in the query string")
        return pairs

    def parameter(self, name: str) -> str:
        """The first query parameter of this name, or ''."""
        return next((value for key, value in self.query if key == name), "")

    @cached_property
    def accepted(self) -> list[media.MediaType]:
        """What the client takes, best first; empty where it didn't say."""
        return media.accepted(self.headers.getlist("accept"), self.parameter("accept"))

    @cached_property
    def root(self) -> str:
        """The service root as the client sees it."""
        return service_root(self.scope, self.headers, self.context.settings.public_root)

    @cached_property
    def access(self) -> Access:
        """The access groups the asker may see."""
        return self.context.access(self.scope)

    @cached_property
    def view(self) -> View:
        """What is seen of rejected objects. Ask for it in a thread."""
        return view_of(self.context.ae())

    @cached_property
    def departing(self) -> Departing | None:
        """What is laid over objects for this client, beside their edits. Ask for it in a thread."""
        departures = self.context.departures
        return departures.to(self.address) if departures is not None else None

    def laid(self, located: Located) -> Located | None:
        """An instance with what is laid over it for this client; None where it doesn't leave. Ask in a thread."""
        return located if self.departing is None else self.departing.laid(located)

    @property
    def body(self) -> Receive:
        """What gives the body, in the largest pieces that can be had."""
        found: Receive = self.scope.get("extensions", {}).get(BODY, self.receive)
        return found

    @property
    def address(self) -> str:
        """The peer's IP address."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    @cached_property
    def codings(self) -> dict[str, float]:
        """Weights of the content codings that the client names (RFC 9110 12.5.3)."""
        found: dict[str, float] = {}
        for header in self.headers.getlist("accept-encoding"):
            for item in header.lower().split(","):
                coding, _, weight = item.partition(";")
                found.setdefault(coding.strip().removeprefix("x-"), _weight(weight))
        return found

    def takes_gzip(self) -> bool:
        """Whether the answer may be sent with Content-Encoding gzip."""
        return self.codings.get("gzip", self.codings.get("*", 0.0)) > 0


def _weight(parameter: str) -> float:
    name, _, value = parameter.replace(" ", "").partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 1.0
