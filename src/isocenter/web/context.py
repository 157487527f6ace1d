"""What a web process needs to answer DICOMweb: made once after the fork, passed to `create_app`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from starlette.types import Scope

from isocenter.archive.counting import Counts
from isocenter.archive.ingest import Ingest
from isocenter.archive.rendering import Rendering
from isocenter.archive.repeating import Recurring
from isocenter.archive.retrieval.instances import Access
from isocenter.archive.xpaths.workers import Selector
from isocenter.config import HostedAE
from isocenter.database import Database
from isocenter.declarations.query_keys import Key
from isocenter.dicom.deidentify import Profile
from isocenter.imaging.engine import Bounds, Engine, engine_with
from isocenter.imaging.rendering.request import Limits
from isocenter.rules import Ruleset
from isocenter.store.api import Store
from isocenter.web.departing import Departures
from isocenter.web.lanes import Lanes

if TYPE_CHECKING:
    from isocenter.archive.commitment.polled import Polled
    from isocenter.archive.deletion import Deletions
    from isocenter.archive.packs.series import Packs
    from isocenter.conformance.model import Statement
    from isocenter.workflow.workitems.entries import Workitems


def everything(scope: Scope) -> Access:
    """No limits of access."""
    return None


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What an installation decides about DICOMweb (`config.settings.Http`)."""

    public_root: str = ""
    """How clients see this server; empty: as their request says."""
    allow_delete: bool = False
    allow_reject: bool = False
    """Rejection over HTTP is answered."""
    search: Literal["open", "patient", "filtered"] = "open"
    """What a search must name: nothing, a Patient ID (I-QIDO-10), or any matching key; one that doesn't is 413."""
    max_body: int = 0
    """Largest request body in bytes; 0: no limit of ours."""
    max_inflated: int = 8 << 30
    """Largest request body after inflation of its Content-Encoding."""
    limit: int = 0
    """Most matches a QIDO-RS answer holds; 0: no limit of ours."""
    repository: str = ""
    """The repositoryUniqueId that WADO-WS requests must name; '' for any."""
    empty_status: int = 200
    """Of a search without a match: 200 with an empty list (I-QIDO-12), or 204."""
    folder: str = ""
    """Where parts of a request wait until all are there; '' for the system's own."""
    floor: int = 0
    """Bytes that must stay free there."""
    lossy: bool = False
    """Objects and frames leave in a transfer syntax that loses where a client names it (`config.imaging`)."""
    uri_implicit: bool = False
    """WADO-URI falls back to Implicit VR Little Endian (`config.settings.Http`)."""
    burned_in: Literal["refuse", "warn"] = "refuse"
    """What happens to objects that can't be de-identified for sure (`config.deidentification`)."""
    standard: str = ""
    """The folder of the standard's tables (`config.settings.Settings.standard`)."""
    origins: tuple[str, ...] = ()
    """Origins whose pages may open event channels beside our own (`config.settings.Http`)."""
    channels: int = 200
    """Event channels at once (`config.workitems`)."""


@dataclass(frozen=True, slots=True)
class WebContext:
    """The archive as the web process holds it. The caller closes what it passed in; `create_app`'s `close` the rest."""

    database: Database
    store: Store
    ingest: Ingest
    packs: "Packs"
    settings: WebSettings = field(default_factory=WebSettings)
    lanes: Lanes = field(default_factory=Lanes)
    deletions: "Deletions | None" = None
    ae: Callable[[], HostedAE] = HostedAE
    """The AE behind DICOMweb as it is now: objects received over HTTP are filed under its title. It may look into the
    database, so that it is asked in a thread."""
    more_keys: tuple[Key, ...] = ()
    """Query keys of this installation beside those of every archive."""
    rules: Ruleset | None = None
    """What changes objects as they come in."""
    statement: "Callable[[], Statement] | None" = None
    """Makes the conformance statement of the installation as it is now."""
    access: Callable[[Scope], Access] = everything
    """Which access groups the asker of a request may see."""
    engine: Engine = field(default_factory=lambda: engine_with(Bounds(), 0))
    """What decodes and encodes pixels for objects and frames in another form than stored."""
    limits: Limits = field(default_factory=Limits)
    """How large pictures may be."""
    polled: "Polled | None" = None
    """Commitment to what is stored, for those who ask over HTTP."""
    workitems: "Workitems | None" = None
    """The unified worklist."""
    selector: Selector = field(default_factory=Selector)
    """What evaluates XPaths over metadata."""
    deidentification: Callable[[], Profile] | None = None
    """How objects are de-identified; it may have to read a file, so that it is asked in a thread."""
    departures: Departures | None = None
    """What is laid over objects as they leave, beside their edits."""
    stored_whole: Callable[[frozenset[str]], None] | None = None
    """Told of the studies of a STOW-RS request that was stored whole, before it is answered; asked in a thread."""
    recurring: Recurring = field(default_factory=Recurring)
    """What is known of the objects that came over HTTP."""
    counts: Counts = field(default_factory=Counts)
    """How many matched searches before."""
    rendering: Rendering = field(init=False)
    """What makes pictures."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rendering", Rendering(self.store, self.engine, self.limits))
