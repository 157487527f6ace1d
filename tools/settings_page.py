"""Writes docs/settings.md, the list of all settings, from the structs that define them.

python tools/settings_page.py           write it
python tools/settings_page.py --check   fail if it is not up to date
"""

import ast
import inspect
import itertools
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from isocenter.config import HostedAE, Http, Lanes, Limits, Peer, Processes, ResponseLimits, Settings, Window
from isocenter.config.showing import masked

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
    ("[[ae]]: the AEs hosted here", "ae", HostedAE),
    ("[[ae]] responses", "ae.responses", ResponseLimits),
    ("[[ae]] window", "ae.window", Window),
    ("[[peer]]: remote AEs", "peer", Peer),
)


def explanations(struct: Any) -> dict[str, str]:
    """The text under each field in the source."""
    body = ast.parse(inspect.getsource(struct)).body[0].body  # type: ignore[attr-defined]
    found = {}
    for here, following in itertools.pairwise(body):
        if isinstance(here, ast.AnnAssign) and isinstance(following, ast.Expr):
            found[here.target.id] = " ".join(following.value.value.split())  # type: ignore[union-attr, attr-defined]
    return found


def rows(struct: Any) -> list[str]:
    """A row a setting; tables inside have a section of their own."""
    told = explanations(struct)
    empty = masked(struct()) if struct is not Peer else masked(Peer(title="?"))
    lines = ["| key | default | |", "|---|---|---|"]
    for info in msgspec.structs.fields(struct):
        value = empty.get(info.encode_name)
        if isinstance(value, dict) or info.encode_name in ("ae", "peer"):
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
    return re.sub(r" \((?:[A-Z]-[A-Z0-9-]+(?:, )?)+\)", "", text).replace("|", "\\|")


def page() -> str:
    """The whole page."""
    sections = [f"## {title}\n\n" + "\n".join(rows(struct)) + "\n" for title, _, struct in TABLES]
    return HEAD + "\n" + "\n".join(sections)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.exists() and PAGE.read_text() == page() else "docs/settings.md is old: make docs")
    PAGE.write_text(page())
