"""Sends what waits in the outbox: a job for each destination, a connection for as long as there is something."""

import ssl
from collections.abc import Callable
from typing import Final

from isocenter import telemetry
from isocenter.config.hl7 import Destination, Hl7
from isocenter.errors import ConfigurationError
from isocenter.hl7.acknowledgement import Code, condition_of
from isocenter.hl7.calling import Caller, ReceiverLost, ReceiverUnreachable, Waits
from isocenter.hl7.errors import MessageError
from isocenter.jobs.runner import Again, Running
from isocenter.workflow.messages.outbox import Outbox, State, Taken

log = telemetry.logger("hl7.sending")

SENT: Final = "isocenter_hl7_sent_total"
_CONNECT: Final = 10.0
_MARGIN: Final = 20.0
"""Seconds beyond what sending may take at most, after which somebody who took a message has ended."""
_GIVEN_WAY: Final = 2.0


class Sender:
    """The handler of `outbox.SEND`. `context` makes the TLS context for a destination that wants one."""

    def __init__(self, outbox: Outbox, settings: Hl7, context: Callable[[], ssl.SSLContext]) -> None:
        self._outbox, self._settings, self._context = outbox, settings, context

    def handle(self, running: Running) -> Again | None:
        """Send all that waits for a destination, in its order."""
        name = str(running.payload.get("destination", ""))
        target = self._settings.destination(name)
        if target is None:
            raise ConfigurationError(f"hl7.destination: there is no {name!r} any more")
        held = target.wait * 2 + _CONNECT + _MARGIN
        taken = self._outbox.take(name, held)
        if taken is None:
            return None
        if isinstance(taken, float):
            return Again(min(taken, _GIVEN_WAY))
        return self._send_all(running, target, taken, held)

    def _send_all(self, running: Running, target: Destination, first: Taken, held: float) -> Again | None:
        taken: Taken | float | None = first
        try:
            with self._connected(target) as caller:
                while isinstance(taken, Taken):
                    self._send(caller, target, taken)
                    if running.cancelled() or running.stopping:
                        return Again(0.0)
                    taken = self._outbox.take(target.name, held)
        except (ReceiverUnreachable, ReceiverLost) as failure:
            assert isinstance(taken, Taken)
            return self._later(target, taken, failure.comment)
        return None if taken is None else Again(_GIVEN_WAY)

    def _connected(self, target: Destination) -> Caller:
        return Caller(
            (target.host, target.port),
            waits=Waits(_CONNECT, target.wait),
            tls=self._context() if target.tls else None,
            tls_name=target.tls_name,
            assumed=target.character_set,
        )

    def _send(self, caller: Caller, target: Destination, taken: Taken) -> None:
        try:
            code, text = condition_of(caller.send(taken.content))
        except MessageError as wrong:
            code, text = None, f"the message can't be sent ({wrong.comment})"
        if code in (Code.AA, Code.CA):
            self._outbox.end(taken, State.SENT)
            telemetry.count(SENT, destination=target.name, outcome="sent")
            return
        # what a receiver says about a message may hold what stands in it: it is not logged
        self._outbox.end(taken, State.DEAD, f"{code or 'no code'}: {text}")
        telemetry.count(SENT, destination=target.name, outcome="refused")
        log.warning("hl7.not-accepted", destination=target.name, outgoing=taken.id, code=str(code or ""))

    def _later(self, target: Destination, taken: Taken, comment: str) -> Again:
        if target.retries and taken.attempts > target.retries:
            self._outbox.end(taken, State.DEAD, comment)
            log.warning("hl7.put-aside", destination=target.name, outgoing=taken.id, attempts=taken.attempts)
            telemetry.count(SENT, destination=target.name, outcome="put-aside")
            return Again(target.retry_delay, comment)
        self._outbox.end(taken, State.WAITING, comment)
        delay = min(target.retry_delay * 2.0 ** min(taken.attempts - 1, 30), target.longest_delay)
        log.warning("hl7.receiver-lost", destination=target.name, comment=comment, retry_in=delay)
        return Again(delay, comment)
