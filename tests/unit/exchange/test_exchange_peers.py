"""Which peer a title means."""

import pytest

from isocenter.config import HostedAE, Peer, Settings
from isocenter.config.settings import Limits
from isocenter.exchange.peers import Peers, association_settings

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
    limits = Limits(max_pdu=50_000, max_pdu_sent=60_000, dimse=7.0, connect=3.0, send=4.0)
    settings = association_settings(limits)
    assert (settings.max_pdu, settings.max_pdu_sent) == (50_000, 60_000)
    assert (settings.dimse, settings.response, settings.connect, settings.send) == (7.0, 7.0, 3.0, 4.0)
    assert association_settings(limits, Peer(title="P", max_pdu=16384)).max_pdu == 16384
