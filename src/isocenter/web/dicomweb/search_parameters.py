"""The query part of a QIDO-RS request (PS3.18 8.3.4, 10.6.1.2), read with patience for what clients write.

Names may be keywords, tags or either joined by dots; values arrive percent-decoded. An empty name (Weasis writes
`?&includefield=`) and an empty `includefield` are passed over.
"""

from dataclasses import dataclass, field

from isocenter.declarations.query_keys import Path, resolve
from isocenter.dicom.dictionary import vr_of
from isocenter.web.problem import bad_request

_MOST_ROWS = 1 << 31
_TRUTHS = ("fuzzymatching", "emptyvaluematching", "multiplevaluematching")


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked for. A value keeps its wildcards and ranges; several UIDs are joined by backslashes."""

    keys: tuple[tuple[Path, str], ...] = ()
    include: tuple[Path, ...] = ()
    include_all: bool = False
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    empty: bool = False
    """`""` matches what is empty (emptyvaluematching)."""
    unknown: tuple[str, ...] = field(default=())
    """`includefield` names that are no attributes; they are named in a Warning and otherwise passed over."""


def parse(parameters: list[tuple[str, str]]) -> Search:
    """The search that the parameters describe. Raises Problem 400."""
    keys: dict[Path, str] = {}
    include: dict[Path, None] = {}
    numbers: dict[str, int] = {}
    truths = dict.fromkeys(_TRUTHS, False)
    for name, value in parameters:
        if name.lower() in truths:
            truths[name.lower()] = _truth(name.lower(), value)
    several = truths["multiplevaluematching"]
    include_all = False
    unknown = []
    for name, value in parameters:
        match name.lower():
            case "" | "accept" | "charset" | "_":
                continue
            case "includefield":
                for text in value.split(","):
                    path = resolve(text) if text.strip() else None
                    if text.strip().lower() == "all":
                        include_all = True
                    elif path is not None:
                        include[path] = None
                    elif text.strip():
                        unknown.append(text.strip())
            case "limit" | "offset":
                numbers.setdefault(name.lower(), _number(name.lower(), value))
            case _ if name.lower() in _TRUTHS:
                continue
            case _:
                path = resolve(name)
                if path is None:
                    raise bad_request(f"{_shown(name)} is neither a parameter nor an attribute")
                keys[path] = _joined(path, keys.get(path, ""), value, several=several)
    return Search(
        keys=tuple(keys.items()),
        include=tuple(include),
        include_all=include_all,
        limit=numbers.get("limit"),
        offset=numbers.get("offset", 0),
        fuzzy=truths["fuzzymatching"],
        empty=truths["emptyvaluematching"],
        unknown=tuple(unknown),
    )


def _joined(path: Path, before: str, value: str, *, several: bool) -> str:
    """UIDs may come as a list with commas or backslashes, or as the same parameter again (PS3.18 8.3.4.1); so may
    other values with `several` (multiplevaluematching), but with backslashes only."""
    if several and before and value:
        return f"{before}\\{value}"
    if vr_of(path[-1]) != "UI":
        if before and value and before != value:
            raise bad_request("an attribute is given twice with different values")
        return value or before
    uids = [uid.strip() for uid in value.replace(",", "\\").split("\\")]
    return "\\".join([uid for uid in (*before.split("\\"), *uids) if uid])


def _number(name: str, value: str) -> int:
    text = value.strip()
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > _MOST_ROWS:
        raise bad_request(f"{name} must be a whole number")
    return int(text)


def _truth(name: str, value: str) -> bool:
    text = value.strip().lower()
    if text not in ("true", "false", "1", "0", ""):
        raise bad_request(f"{name} must be true or false")
    return text in ("true", "1")


def _shown(name: str) -> str:
    """A parameter's name, as far as it is safe to repeat."""
    safe = "".join(c for c in name[:64] if c.isalnum() or c in "._-")
    return f"'{safe}'"
