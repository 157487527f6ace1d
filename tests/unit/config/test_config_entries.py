"""One AE or peer by itself: what the words of a command mean, and what is refused."""

import pytest

from isocenter.config import HostedAE, Peer, Settings, Window, assigned, build, entry, load, unassigned
from isocenter.declarations.presets import PRESETS
from isocenter.declarations.statuses import Service, dimse_status
from isocenter.declarations.transfer_syntaxes import CHOICES, storage_order
from isocenter.errors import ConfigurationError, Reason


def test_words_lay_values_over_others() -> None:
    before = {"title": "WS", "allow": ["store"], "port": 104}
    values = assigned("peer", before, ["allow=find,move", "addresses=10.1.0.0/16", "port=4242"])
    assert before["port"] == 104
    assert entry("peer", values, origin="test") == Peer(
        title="WS", allow=("find", "move"), addresses=("10.1.0.0/16",), port=4242
    )


def test_words_reach_into_tables_and_are_taken_back() -> None:
    values = assigned("ae", {"title": "A"}, ["responses.study=500", "window.invoked=8", "relational=false", "idle=0"])
    found = entry("ae", values, origin="test")
    assert isinstance(found, HostedAE)
    assert (found.responses.study, found.window, found.relational, found.idle) == (500, Window(invoked=8), False, 0)
    plain = entry(
        "ae", unassigned("ae", values, ["responses.study", "window.invoked", "idle", "preset"]), origin="test"
    )
    assert plain == HostedAE(title="A", relational=False)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("prt=11", "'peer.port'"),
        ("port", "KEY=VALUE"),
        ("port=much", "peer.port"),
        ("port=70000", "peer.port"),
        ("allow=everything", "peer.allow"),
        ("addresses=here", "peer.addresses"),
        ("title=A\\B", "peer.title"),
    ],
)
def test_a_wrong_word_is_named(word: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        entry("peer", assigned("peer", {"title": "WS"}, [word]), origin="command line")


def test_a_table_is_no_word() -> None:
    with pytest.raises(ConfigurationError, match="window is a table"):
        assigned("ae", {}, ["window=1"])


def test_a_key_that_no_program_of_ours_knows_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigurationError, match=r"the database: there is no setting 'ae\.colour'"):
        entry("ae", {"title": "A", "colour": "red"}, origin="the database")


def test_the_default_ae_is_told_from_one_that_is_named() -> None:
    assert not Settings().aes_given
    assert not load(environment={}).aes_given
    assert build({"ae": [{"title": "ISOCENTER"}]}).aes_given
    assert build({"ae": [{"title": "ISOCENTER"}]}).aes == Settings().aes


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_an_entry_in_every_table(preset: str) -> None:
    ae = entry("ae", {"title": "A", "preset": preset}, origin="test")
    assert isinstance(ae, HostedAE)
    assert CHOICES[ae.preset]
    assert storage_order(ae.preset)
    for service in Service:
        assert dimse_status(service, Reason.PROCESSING_FAILURE, ae.preset)


def test_a_preset_that_does_not_exist_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigurationError, match=r"ae\.preset"):
        entry("ae", {"title": "A", "preset": "mary"}, origin="test")
    with pytest.raises(ConfigurationError, match="preset"):
        build({"ae": [{"title": "A", "preset": "mary"}]})
