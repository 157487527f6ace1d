"""Verification SCP: PS3.4 A. C-ECHO is answered with success whenever it can be answered at all (I-ECHO-01)."""

from typing import TYPE_CHECKING

from isocenter.dimse import commands
from isocenter.dimse.commands import Command
from isocenter.dimse.service import BufferedService, Context

if TYPE_CHECKING:
    from isocenter.dimse.association import Association


class VerificationService(BufferedService):
    """Answers C-ECHO."""

    def answer(self, association: "Association", context: Context, command: Command, data: bytes | None) -> None:
        """Success."""
        association.respond(context.id, commands.response(command, commands.SUCCESS))
