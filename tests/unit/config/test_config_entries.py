"""One AE or peer by itself: what the words of a command mean, and what is refused."""

import pytest

from isocenter.config import HostedAE, Peer, Settings, Window, assigned, build, check, entry, load, unassigned
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
        ("aliases=A,B\\C", "peer.aliases"),
        ("commitment_report=later", "one of 'either', 'new', 'same'"),
        ("allow=everything", "one of 'commit', 'find'"),
        ("character_set=ISO_IR 9999", "peer.character_set: 'ISO_IR 9999'"),
        ("character_set=\\\\ISO 2022 IR 9", "peer.character_set: 'ISO 2022 IR 9'"),
        ("character_set_sent=KLINGON", "peer.character_set_sent: 'KLINGON'"),
        ("syntaxes=1.2.840.10008.1.2,1.2.foo", "peer.syntaxes: '1.2.foo'"),
    ],
)
def test_a_wrong_word_is_named(word: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        entry("peer", assigned("peer", {"title": "WS"}, [word]), origin="command line")


def test_character_sets_that_are_written_wrongly_in_a_known_way_are_taken() -> None:
    for term in ("", "\\ISO 2022 IR 87", "latin1", "UTF-8", "GBK", "ISO_IR 6"):
        assert entry("peer", {"title": "WS", "character_set": term}, origin="test").character_set == term


@pytest.mark.parametrize(
    ("ae", "told"),
    [
        ({"preset": "pax"}, r"ae\S*preset.*'viewer'"),
        ({"duplicates": "kep-first"}, r"ae\S*duplicates.*'keep-first-supplement'"),
        ({"commitment": {"check": "deep"}}, r"ae\S*commitment\.check.*'digest', 'row', 'size'"),
        ({"character_set": "ISO_IR 9999"}, r"ae\.character_set: 'ISO_IR 9999'"),
        ({"syntaxes": ["ImplicitVRLittleEndian"]}, r"ae\.syntaxes"),
        ({"classes": ["1.2..3"]}, r"ae\.classes"),
    ],
)
def test_a_wrong_value_of_an_ae_is_named_with_what_it_may_be(ae: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        check(build({"ae": [{"title": "A", **ae}]}))
    with pytest.raises(ConfigurationError, match=told):
        entry("ae", {"title": "A", **ae}, origin="command line")


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
