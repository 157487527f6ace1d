"""Every figure in turn, each beside its peers in the same run: python -m bench [FIGURE ...]

Figures: store retrieve find web memory transcode frames render stow first hl7 worklist. Takes about an
hour on two cores, and 6 GB under $ISOCENTER_BENCH.
"""

import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent
FIGURES = (
    "store",
    "retrieve",
    "find",
    "web",
    "memory",
    "transcode",
    "frames",
    "render",
    "stow",
    "first",
    "hl7",
    "worklist",
)


def main(wanted: list[str]) -> int:
    """Run the figures that are named, all of them if none is."""
    unknown = [name for name in wanted if name not in FIGURES]
    if unknown:
        print(f"no such figure: {', '.join(unknown)}; there are {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    sys.path.insert(0, str(HERE))
    for name in wanted or FIGURES:
        sys.argv = [f"bench/figure_{name}.py"]
        runpy.run_path(str(HERE / f"figure_{name}.py"), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
