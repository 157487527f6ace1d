"""`isocenter echo`."""

import json
import time

import typer

from isocenter.cli.ending import Exit
from isocenter.cli.peering import Target
from isocenter.declarations.offers import PROPOSED_SYNTAXES
from isocenter.dicom.uids import VERIFICATION
from isocenter.dimse import ProposedContext, commands


def run(target: Target, repeat: int, *, as_json: bool) -> Exit:
    """C-ECHO, `repeat` times on one association."""
    times = []
    status = commands.SUCCESS
    with target.connect([ProposedContext(VERIFICATION, PROPOSED_SYNTAXES)]) as association:
        for _ in range(repeat):
            started = time.perf_counter()
            status = association.echo()
            times.append(time.perf_counter() - started)
            if status != commands.SUCCESS:
                break
    if as_json:
        typer.echo(json.dumps({"status": f"{status:04X}", "seconds": [round(t, 6) for t in times]}))
    else:
        answer = "answered" if status == commands.SUCCESS else f"answered with status {status:04X}"
        typer.echo(f"{target} {answer} in {min(times) * 1000:.1f} ms")
    return Exit.OK if status == commands.SUCCESS else Exit.SOME_FAILED
