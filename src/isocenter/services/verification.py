"""Verification SCP: PS3.4 A. C-ECHO is answered with success whenever it can be answered at all (I-ECHO-01).

What is no proper C-ECHO, since a data set comes along, is told so (X-MOD-38).
"""

from typing import TYPE_CHECKING

from isocenter.declarations import statuses
from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import BufferedService, Context
from isocenter.errors import Reason

if TYPE_CHECKING:
    from isocenter.dimse.association import Association


class VerificationService(BufferedService):
    """Answers C-ECHO."""

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Success, or that the request was not received properly."""
        if data is None:
            association.respond(context.id, commands.response(command, commands.SUCCESS))
            return
        status = statuses.dimse_status(statuses.Service.ECHO, Reason.BAD_REQUEST)
        association.respond(context.id, commands.response(command, status, "C-ECHO has no data set"))
