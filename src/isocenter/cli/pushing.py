"""`isocenter push`: what is stored, sent by the running server as durable jobs (X-MOD-10, M-DWSEND-01)."""

from collections.abc import Iterator
from typing import NamedTuple

from isocenter.archive.retrieval.instances import Selection, locate
from isocenter.cli import jobs
from isocenter.cli.ending import Exit, say
from isocenter.cli.opening import known, opened
from isocenter.config import Settings
from isocenter.database import Database
from isocenter.errors import ConfigurationError
from isocenter.exchange.pushing import Entry, Push
from isocenter.exchange.pushing import push as queue_push
from isocenter.jobs.queue import Queue

_OPEN = ("waiting", "running")


class Chosen(NamedTuple):
    """What is sent: whatever the index holds below these UIDs."""

    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()


class Order(NamedTuple):
    """Where to and how: `ae` of ours, '' for the first; `wait` seconds for the end."""

    peers: tuple[str, ...]
    ae: str = ""
    commit: bool = False
    wait: float = 0.0


def push(chosen: Chosen, order: Order, settings: Settings, *, as_json: bool) -> Exit:
    """Queue a job for each peer; with `wait`, tell how they ended."""
    with opened(settings) as index:
        ae = _ae(settings, order)
        entries = list(_entries(index, chosen))
        if not entries:
            raise ConfigurationError("nothing to send: name --study, --series or --instance of the index")
        queue = Queue(index)
        pushes = [Push(ae, peer, entries, order.commit) for peer in order.peers]
        numbers = [number for each in pushes for number in queue_push(queue, each)]
        states = jobs.awaited(queue, numbers, order.wait)
        jobs.tell(states, as_json=as_json)
    if any(state.state in _OPEN for state in states):
        say("not sent yet; `isocenter jobs show` tells later")
    return Exit.SOME_FAILED if any(state.state not in ("done", *_OPEN) for state in states) else Exit.OK


def _ae(settings: Settings, order: Order) -> str:
    """Our AE's title. Raises ConfigurationError where it or a peer isn't known here."""
    held = known(settings).settings
    for name in order.peers:
        if not any(peer.host for peer in held.peers_titled(name)):
            raise ConfigurationError(f"{name!r} is no peer whose address is known here")
    if order.ae and held.ae(order.ae) is None:
        raise ConfigurationError(f"--ae: no AE {order.ae!r} is hosted here")
    return order.ae or held.aes[0].title


def _entries(index: Database, chosen: Chosen) -> Iterator[Entry]:
    selections = [
        *(Selection(study_uids=(uid,)) for uid in chosen.studies),
        *(Selection(series_uids=(uid,)) for uid in chosen.series),
        *(Selection(sop_uids=(uid,)) for uid in chosen.instances),
    ]
    for selection in selections:
        found = [Entry(each.study_uid, each.sop_uid) for page in locate(index, selection) for each in page]
        if not found:
            wanted = selection.study_uids or selection.series_uids or selection.sop_uids
            say(f"warning: nothing here has the UID {wanted[0]}")
        yield from found
