"""Which peer a title means."""

import pytest

from isocenter.config import HostedAE, Peer, Settings, Window
from isocenter.config.settings import Limits
from isocenter.exchange.peers import Peers, association_settings
from isocenter.registry.roster import Roster

HERE = Peer(title="WS", host="10.0.0.1", port=11112)
THERE = Peer(title="WS", host="10.0.0.2", port=104)
NET = Peer(title="WS", host="pacs.example.org", port=4242, addresses=("10.7.0.0/16", "10.8.0.9"))
NOWHERE = Peer(title="SILENT")
PEERS = Peers(Settings(peers=(HERE, THERE, NET, NOWHERE)))


@pytest.mark.parametrize(
    ("requestor", "expected"),
    [
        ("10.0.0.1", HERE),
        ("10.0.0.2", THERE),
        ("::ffff:10.0.0.2", THERE),
        ("10.7.3.4", NET),
        ("10.8.0.9", NET),
        ("192.168.1.1", HERE),
        ("fe80::1%eth0", HERE),
    ],
)
@pytest.mark.req("M-MOVE-02")
def test_of_one_title_at_several_addresses_the_requestors_own(requestor: str, expected: Peer) -> None:
    assert PEERS.destination("WS", HostedAE(), requestor) is expected


@pytest.mark.req("I-ASSOC-02", "I-MOVE-ST-08")
def test_unknown_titles() -> None:
    assert PEERS.destination("OTHER", HostedAE(), "10.0.0.7") is None
    assert PEERS.destination("SILENT", HostedAE(), "10.0.0.7") is None
    trying = HostedAE(unknown_destination="requestor")
    found = PEERS.destination("OTHER", trying, "::ffff:10.0.0.7")
    assert found is not None
    assert (found.title, found.host, found.port) == ("OTHER", "10.0.0.7", 104)
    found = PEERS.destination("OTHER", HostedAE(unknown_destination="requestor", unknown_destination_port=4000), "::1")
    assert found is not None
    assert (found.host, found.port) == ("::1", 4000)
    assert PEERS.destination("", trying, "10.0.0.7") is None
    assert PEERS.destination("A TITLE THAT IS TOO LONG", trying, "10.0.0.7") is None
    assert PEERS.destination("WS", trying, "10.0.0.9") is HERE


@pytest.mark.req("I-ASSOC-04")
def test_limits_and_time_outs_reach_the_network_engine() -> None:
    limits = Limits(max_pdu=50_000, max_pdu_sent=60_000, dimse=7.0, response=8.0, connect=3.0, send=4.0)
    settings = association_settings(limits)
    assert (settings.max_pdu, settings.max_pdu_sent) == (50_000, 60_000)
    assert (settings.dimse, settings.response, settings.connect, settings.send) == (7.0, 8.0, 3.0, 4.0)
    assert association_settings(limits, Peer(title="P", max_pdu=16384)).max_pdu == 16384


@pytest.mark.req("I-ASSOC-04", "I-ASSOC-08")
def test_the_calling_ae_has_limits_and_a_window_of_its_own() -> None:
    ae = HostedAE(max_pdu=16384, max_pdu_sent=32768, dimse=1.0, response=2.0, window=Window(invoked=8))
    settings = association_settings(Limits(), None, ae)
    assert (settings.max_pdu, settings.max_pdu_sent, settings.window) == (16384, 32768, (8, 1))
    assert (settings.dimse, settings.response) == (1.0, 2.0)
    assert association_settings(Limits(), Peer(title="P", max_pdu=65536), ae).max_pdu == 65536
    assert association_settings(Limits()).window == (1, 1)


class Learning:
    """A directory that knows a peer only when it is asked for the newest."""

    def now(self, *, fresh: bool = False) -> Roster:
        return Roster(Settings(peers=(HERE,) if fresh else ()))


def test_a_destination_that_is_missing_is_looked_for_again_at_once() -> None:
    assert Peers(Settings(), Learning()).destination("WS", HostedAE(), "10.9.9.9") == HERE
