"""The matrix of requirement ids, the tests that prove them and how these ended: `docs/requirements/trace.md`.

python tools/requirements_trace.py [pytest arguments]     run the tests, write the matrix
python tools/requirements_trace.py --check                collect only: a test may name only ids of the catalogue, and
                                                          every id of the groups that are done has a test, or a row in
                                                          `docs/requirements/later.csv`, never both
"""

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Set
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "docs" / "requirements"
MATRIX = CATALOGUE / "trace.md"
LATER = CATALOGUE / "later.csv"
# fmt: off
DONE = frozenset({
    "M-STORE", "M-SEND", "M-FIND", "M-MOVE", "M-GET", "M-QRSCU", "M-ECHO", "M-ASSOC", "M-SEC", "M-CHAR", "M-STAT",
    "M-DWSTORE", "M-DWSEND", "M-DWFIND", "M-DWMOVE", "M-PRIV", "I-ASSOC", "I-CTX", "I-ECHO", "I-STORE", "I-SEND",
    "I-FIND", "I-MOVE", "I-COMMIT", "I-SEC", "I-CHAR", "I-PID", "I-EXT", "I-CONF", "P-ASSOC", "P-RJ", "P-AB", "P-CF",
    "P-ECHO", "P-FIND", "P-MOVE", "P-STO", "P-EXP", "P-IMP", "P-SEC", "P-CHR", "P-NET", "X-COM", "X-QR", "X-VIEW",
    "X-MOD", "C-RULE", "C-DISC", "C-TPL", "C-GEN", "C-CHK", "I-QIDO", "I-STOW", "I-RS", "I-URI", "I-WS", "I-WEB",
    "I-PDF", "M-HL7", "M-MWL", "M-MPPS", "I-WLM", "I-MPPS", "I-REC", "I-TWF", "I-BSCN", "P-MWL", "P-MPPS", "P-IAN",
    "P-BRG", "P-PDF", "X-RIS",
})
# fmt: on
"""The groups of ids of which each has a test, or a row that says who will bring it."""
_DEFINED = re.compile(r"(?:- |\| )(?:\*\*)?([CIMPSX]-[A-Z0-9][A-Za-z0-9.-]*?)(?:\*\*)?(?= )")
_NO_REQUIREMENT = re.compile(r"-(GAP|AMB)-")


def catalogue() -> dict[str, str]:
    """Every id that a line or a table row of the catalogue defines, and its file. What a source leaves open is none."""
    ids: dict[str, str] = {}
    for file in sorted(CATALOGUE.glob("*.md")):
        if file not in (MATRIX, CATALOGUE / "README.md"):
            for line in file.read_text(encoding="utf-8").splitlines():
                found = _DEFINED.match(line)
                if found and not _NO_REQUIREMENT.search(found[1]):
                    ids.setdefault(found[1], file.stem)
    return ids


def later() -> dict[str, str]:
    """What waits for a later issue, by id: an issue's number, a topic that has none yet, or `none` for what a product
    says of its surroundings and ours doesn't."""
    with LATER.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["issue"] for row in csv.DictReader(file)}


def unproved(ids: Iterable[str], tested: Set[str], postponed: Set[str]) -> list[str]:
    """What keeps the groups that are done from being so, a line each."""
    mine = [i for i in ids if _group(i) in DONE]
    return [
        *(f"{i} has neither a test nor a row in {LATER.name}" for i in mine if i not in tested | postponed),
        *(f"{i} has a test, and a row in {LATER.name}" for i in sorted(postponed & tested)),
        *(f"{i} of {LATER.name} is not in the catalogue" for i in sorted(postponed - set(ids))),
    ]


def _group(requirement: str) -> str:
    return "-".join(requirement.split("-")[:2])


class Collector:
    """A pytest plugin that notes which tests carry which ids, and how they ended."""

    def __init__(self) -> None:
        self.tests: defaultdict[str, set[str]] = defaultdict(set)
        self.results: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for marker in item.iter_markers("req"):
                for requirement in marker.args:
                    self.tests[requirement].add(_test(item.nodeid))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            test = _test(report.nodeid)
            worst = {"failed": 3, "skipped": 1, "passed": 2}
            if worst[report.outcome] > worst.get(self.results.get(test, ""), 0):
                self.results[test] = report.outcome


def _test(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def matrix(ids: dict[str, str], collected: Collector, postponed: dict[str, str]) -> str:
    """The page: per document, what is proved by what, then what has no test yet and which issue will bring it."""
    proved = {i for i in ids if collected.tests.get(i)}
    lines = ["# The trace", "", "Written by `make trace`; do not edit.", "", "| document | ids | with a test |"]
    lines.append("|---|---|---|")
    for document in sorted(set(ids.values())):
        own = [i for i in ids if ids[i] == document]
        lines.append(f"| `{document}.md` | {len(own)} | {sum(i in proved for i in own)} |")
    lines += ["", "## Proved", "", "| id | tests | result |", "|---|---|---|"]
    for requirement in sorted(proved):
        tests = sorted(collected.tests[requirement])
        results = sorted({collected.results.get(test, "not run") for test in tests})
        lines.append(f"| {requirement} | {'<br>'.join(f'`{t}`' for t in tests)} | {', '.join(results)} |")
    lines += ["", "## Without a test"]
    for document in sorted(set(ids.values())):
        open_ids = sorted(i for i in ids if ids[i] == document and i not in proved)
        named = [f"{i} ({_when(postponed[i])})" if i in postponed else i for i in open_ids]
        lines += ["", f"### {document}.md ({len(open_ids)})", "", ", ".join(named)]
    return "\n".join(lines) + "\n"


def _when(issue: str) -> str:
    return f"issue {issue}" if issue.isdigit() else issue


def main(arguments: list[str]) -> int:
    """Run or collect, then write or check."""
    check = "--check" in arguments
    collector = Collector()
    rest = [a for a in arguments if a != "--check"]
    status = pytest.main(["-q", *(["--collect-only", "-qq"] if check else []), *rest], plugins=[collector])
    ids = catalogue()
    unknown = {i: tests for i, tests in collector.tests.items() if i not in ids}
    for requirement, tests in sorted(unknown.items()):
        print(f"{requirement} is not in the catalogue: {', '.join(sorted(tests))}", file=sys.stderr)
    postponed = later()
    # a part of the tests says nothing of the rest
    missing = [] if rest else unproved(ids, set(collector.tests), set(postponed))
    print(*missing, sep="\n", end="\n" if missing else "", file=sys.stderr)
    if not check:
        MATRIX.write_text(matrix(ids, collector, postponed), encoding="utf-8")
        print(f"{MATRIX.relative_to(ROOT)}: {len(set(collector.tests) & set(ids))} of {len(ids)} ids have a test")
    return 1 if unknown or missing else int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
