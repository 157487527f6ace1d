"""Writes docs/settings.md, the list of all settings, from the structs that define them.

python tools/settings_page.py           write it
python tools/settings_page.py --check   fail if it is not up to date
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from isocenter.config import (
    Commitment,
    HostedAE,
    Http,
    Index,
    Lanes,
    Limits,
    Peer,
    Processes,
    ResponseLimits,
    Settings,
    SyntaxPriority,
    Window,
)
from isocenter.config.coercion import Action, Condition, Hooks, Rule
from isocenter.config.compression import Compression, CompressionRule, LossyCompression
from isocenter.config.deidentification import Deidentification
from isocenter.config.explaining import explanations, without_ids
from isocenter.config.hl7 import Destination, Feed, Hl7
from isocenter.config.imaging import Imaging
from isocenter.config.notices import Completeness, Notice, Notices, WebHook
from isocenter.config.reconciling import Reconciling
from isocenter.config.rejections import Rejection
from isocenter.config.security import Identity, Jwt, Tls, User
from isocenter.config.settings import Revision, Statement
from isocenter.config.showing import masked
from isocenter.config.steps import ProcedureSteps, StationSteps
from isocenter.config.workitems import Workitems
from isocenter.config.worklist import WorklistAnswers, WorklistUpkeep, WorklistView

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
HEAD = """\
# All settings

Written by `make docs` from the program; do not edit. How to set them: [configuration](configuration.md).
"""
TABLES: tuple[tuple[str, str, Any], ...] = (
    ("General", "", Settings),
    ("[limits]", "limits", Limits),
    ("[processes]", "processes", Processes),
    ("[http]", "http", Http),
    ("[http.lanes]: work at once", "http.lanes", Lanes),
    ("[index]: what queries may name beside the usual", "index", Index),
    ("[imaging]: what decoding and encoding of pixels may take", "imaging", Imaging),
    (
        "[rejection.TITLE]: objects that a note rejected; TITLE is one of quality, safety, worklist, expired",
        "rejection",
        Rejection,
    ),
    ("[deidentification]: what anonymized objects are like", "deidentification", Deidentification),
    ("[tls]: DICOM over TLS", "tls", Tls),
    ("[identity]: how users are verified", "identity", Identity),
    ("[identity.jwt]: JSON Web Tokens", "identity.jwt", Jwt),
    ("[[user]]: who may come with a name", "user", User),
    ("[[ae]]: the AEs hosted here", "ae", HostedAE),
    ("[[ae]] responses", "ae.responses", ResponseLimits),
    ("[[ae]] window", "ae.window", Window),
    ("[[ae]] commitment", "ae.commitment", Commitment),
    ("[[ae]] worklist: how worklist queries are answered", "ae.worklist", WorklistAnswers),
    ("[[ae]] reconciling", "ae.reconciling", Reconciling),
    ("[[ae]] mpps: performed procedure steps", "ae.mpps", ProcedureSteps),
    ("[[ae.mpps.stations]]: what differs by station", "ae.mpps.stations", StationSteps),
    ("[[peer]]: remote AEs", "peer", Peer),
    ("[[peer]] worklist: which entries a peer sees", "peer.worklist", WorklistView),
    ("[[peer]] syntax_priority", "peer.syntax_priority", SyntaxPriority),
    ("[[rule]]: changes as objects come and go", "rule", Rule),
    ("[[rule]] where: conditions on attributes", "rule.where", Condition),
    ("[[rule]] do: changes", "rule.do", Action),
    ("[hooks]: functions in place of rules", "hooks", Hooks),
    ("[[compress]]: which stored objects are compressed", "compress", CompressionRule),
    ("[compress.lossy]: with loss", "compress.lossy", LossyCompression),
    ("[compression]", "compression", Compression),
    ("[worklist]: how long entries are kept", "worklist", WorklistUpkeep),
    ("[hl7]: messages over MLLP", "hl7", Hl7),
    ("[[hl7.feed]]: senders of messages", "hl7.feed", Feed),
    ("[[hl7.destination]]: receivers of messages", "hl7.destination", Destination),
    ("[completeness]: when a study counts as complete", "completeness", Completeness),
    ("[[notice]]: who is told of studies over DICOM", "notice", Notice),
    ("[[hook]]: web servers that are told of events", "hook", WebHook),
    ("[notices]: what holds for all notifications", "notices", Notices),
    ("[workitem]: the unified worklist", "workitem", Workitems),
    ("[statement]: what the conformance statement says of itself", "statement", Statement),
    ("[[statement.revision]]: its earlier issues", "statement.revision", Revision),
)
REQUIRED: dict[Any, dict[str, Any]] = {
    Peer: {"title": "?"},
    User: {"name": "?"},
    SyntaxPriority: {"stored": "?", "send": ()},
    Rule: {"when": "receive", "do": ()},
    Condition: {"attribute": "?"},
    Revision: {"version": "?", "date": "?"},
    Destination: {"name": "?", "host": "?"},
    StationSteps: {"titles": ()},
    Notice: {"kind": "study-content", "to": ()},
    WebHook: {"url": "?"},
}
ARRAYS = ("ae", "peer", "rule", "user", "revision", "compress", "notice", "hook", "feed", "destination", "stations")
"""Arrays of tables, which have sections of their own."""


def rows(struct: Any) -> list[str]:
    """A row a setting; tables inside have a section of their own."""
    told = explanations(struct)
    empty = masked(struct(**REQUIRED.get(struct, {})))
    lines = ["| key | default | |", "|---|---|---|"]
    for info in msgspec.structs.fields(struct):
        value = empty.get(info.encode_name)
        if isinstance(value, dict):
            continue
        if info.encode_name in ARRAYS and not isinstance(value, str):
            continue
        required = info.default is msgspec.NODEFAULT and info.default_factory is msgspec.NODEFAULT
        default = "required" if required else _default(value)
        lines.append(f"| `{info.encode_name}` | {default} | {_cell(told.get(info.name, ''))} |")
    return lines


def _default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list) and len(value) > 4:
        return "all"
    return f"`{msgspec.json.encode(value).decode()}`"


def _cell(text: str) -> str:
    return without_ids(text).replace("|", "\\|")


def page() -> str:
    """The whole page."""
    sections = [f"## {title}\n\n" + "\n".join(rows(struct)) + "\n" for title, _, struct in TABLES]
    return HEAD + "\n" + "\n".join(sections)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page() else "docs/settings.md is old: make docs")
    PAGE.write_text(page())
