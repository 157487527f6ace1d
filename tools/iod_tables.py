"""Writes `declarations/data/iods.tsv`: what the modules of each storage SOP class need, as PS3.3 A and C have it.

Reads the tables of the standard that highdicom carries; with `--check` says whether the file is what they give.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from isocenter.declarations import sop_classes
from isocenter.dicom.dictionary import tag_of

TABLE: Final = Path(__file__).parent.parent / "src/isocenter/declarations/data/iods.tsv"
_DEEPEST: Final = 2
"""Sequences around an attribute; what lies deeper is the business of templates."""
_EITHER: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""A functional group stands in one of them: neither may be asked for it."""
_UPPER: Final = re.compile("2d|3d|cr|ct|dx|ecg|icc|ivoct|lut|mr|nm|oct|pet|roi|rt|sc|sop|sr|us|vl|voi|xa|xrf")


def _table(name: str) -> Any:
    return json.loads(files("highdicom").joinpath(f"_standard/{name}.json").read_text("utf-8"))


def _name(key: str) -> str:
    """As the standard writes the module's name, nearly."""
    words = [
        word.upper() if _UPPER.fullmatch(word) else word if word == "of" else word.capitalize()
        for word in key.split("-")
    ]
    return " ".join(words).replace("Multi Frame", "Multi-frame").replace("X Ray", "X-Ray")


def _module(attributes: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Paths of keywords of types 1 and 2, in order."""
    found: dict[str, list[str]] = {"1": [], "2": []}
    listed = list(attributes)
    items = [each["path"] for each in listed if each["keyword"] == "ValueType"]
    for each in listed:
        if each["keyword"] != "ValueType" and any(each["path"][: len(item)] == item for item in items):
            continue  # a content item: what it needs depends on its type
        path = [*each["path"], each["keyword"]]
        known = all(tag_of(keyword) is not None for keyword in path)
        if each["type"] in found and known and len(path) <= _DEEPEST + 1 and path[0] not in _EITHER:
            found[each["type"]].append(".".join(path))
    return {kind: sorted(set(paths), key=_order) for kind, paths in found.items()}


def _order(path: str) -> Sequence[int]:
    return [tag_of(keyword) or 0 for keyword in path.split(".")]


def lines() -> list[str]:
    """The table's lines: modules, then classes."""
    modules, iods, classes = _table("module_attribute_map"), _table("iod_module_map"), _table("sop_class_iod_map")
    needs: dict[str, dict[str, list[str]]] = {}
    rows = []
    for uid, iod in sorted(classes.items()):
        mandatory = [module["key"] for module in iods[iod] if module["usage"] == "M"]
        for key in mandatory:
            needs.setdefault(key, _module(modules.get(key, ())))
        if sop_classes.is_storage(uid):
            rows.append("\t".join([uid, *(_name(key) for key in mandatory if any(needs[key].values()))]))
    told = [(_name(key), kinds) for key, kinds in sorted(needs.items()) if any(kinds.values())]
    return [*("\t".join(["@", name, " ".join(n["1"]), " ".join(n["2"])]) for name, n in told), *rows]


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    text = "\n".join(lines()) + "\n"
    if parser.parse_args().check:
        return 0 if TABLE.read_text("ascii") == text else 1
    TABLE.write_text(text, "ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
