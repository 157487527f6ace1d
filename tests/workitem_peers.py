"""A subscriber of the unified worklist, made of pynetdicom: takes the event reports of UPS Event."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import UnifiedProcedureStepEvent, UnifiedProcedureStepPush, UnifiedProcedureStepWatch

from archives import unused_port
from isocenter.config import Peer

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian]
EVENT, PUSH, WATCH = UnifiedProcedureStepEvent, UnifiedProcedureStepPush, UnifiedProcedureStepWatch


class Watcher:
    """A pynetdicom AE that takes event reports; `statuses` are its answers in turn, the last one stays."""

    def __init__(self, title: str = "WATCHER", statuses: tuple[int, ...] = (0,)) -> None:
        self.title, self.port, self.statuses = title, unused_port(), list(statuses)
        self.told: list[tuple[int, str, Dataset]] = []
        self._changed = threading.Condition()

    @property
    def peer(self) -> Peer:
        return Peer(title=self.title, host="127.0.0.1", port=self.port)

    def take(self, event: Any) -> tuple[int, None]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        with self._changed:
            request = event.request
            assert request.AffectedSOPClassUID == PUSH
            self.told.append((event.event_type, str(request.AffectedSOPInstanceUID), event.event_information))
            self._changed.notify_all()
        return status, None

    @contextmanager
    def listening(self) -> Iterator[None]:
        ae = AE(self.title)
        ae.add_supported_context(EVENT, SYNTAXES, scu_role=True, scp_role=True)
        server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self.take)]
        )
        try:
            yield
        finally:
            server.shutdown()

    def subscribe(self, port: int, uid: str) -> int:
        """Subscribe to a workitem; the status."""
        ae = AE(self.title)
        ae.add_requested_context(WATCH)
        association = ae.associate("127.0.0.1", port, ae_title="ISOCENTER")
        assert association.is_established
        wanted = Dataset()
        wanted.ReceivingAE, wanted.DeletionLock = self.title, "FALSE"
        status, _ = association.send_n_action(wanted, 3, PUSH, uid, meta_uid=WATCH)
        association.release()
        return int(status.Status)
