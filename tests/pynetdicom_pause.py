"""pynetdicom's requests, without a race of theirs.

Before it sends a request it has its reactor pause, which else might take the response for a message that nobody
expects. It takes `_is_paused` for that, which the reactor sets on each of its rounds before it looks whether it is to
pause: a reactor that has looked just before goes on for one round more, and a quick response is lost in it.
"""

import threading
import time
from typing import Any

from pynetdicom.association import Association

_TURN = 0.05


class Checkpoint(threading.Event):
    """Whether the reactor of an association may go on. Who takes that back waits until it has stopped."""

    def __init__(self, association: Association) -> None:
        super().__init__()
        self._association, self._stopped, self._look = association, False, threading.Lock()

    def wait(self, timeout: float | None = None) -> bool:
        """The reactor's part."""
        while True:
            with self._look:
                if self.is_set():
                    return True
                self._stopped = True
            # in turns, since it may have been let go and stopped again before it slept
            if super().wait(_TURN):
                return True

    def set(self) -> None:
        """The requesting thread's part: at once the reactor counts as going, though it may take a while to wake."""
        with self._look:
            self._stopped = False
            super().set()

    def clear(self) -> None:
        """The requesting thread's part."""
        with self._look:
            super().clear()
        reactor = self._association
        while not self._stopped and reactor.is_alive() and threading.current_thread() is not reactor:
            time.sleep(0.001)


def mend() -> None:
    """From now on associations have such a checkpoint."""
    begin = Association.__init__

    def begun(self: Association, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self._reactor_checkpoint = Checkpoint(self)
        self._reactor_checkpoint.set()

    Association.__init__ = begun  # type: ignore[method-assign]
