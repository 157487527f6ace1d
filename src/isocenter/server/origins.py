"""Whom received objects come from, with what is configured for the AE that receives and for the peer that sends."""

from isocenter.archive.ingest import Origin
from isocenter.archive.validation.levels import inspection_of
from isocenter.archive.validation.workers import tables_in
from isocenter.config import HostedAE, Peer
from isocenter.index.records import DuplicatePolicy
from isocenter.rules import Ends, Ruleset


def origin_of(
    ae: HostedAE,
    peer: Peer | None,
    titles: tuple[str, str],
    address: str,
    *,
    standard: str = "",
    rules: Ruleset | None = None,
) -> Origin:
    """What objects of `titles` (calling, called) from `address` are received with. `standard`: the folder of the
    standard's tables (`config.settings.Settings.standard`); `rules`: those of the installation."""
    coercion = None
    if rules is not None:
        ends = Ends(*titles, address, peer.title if peer else "")
        forced = peer.character_set if peer and peer.character_set_forced else ""
        coercion = rules.receiving(ends, tell=ae.tell_sender, drop_invalid=ae.drop_invalid, character_set=forced)
    return Origin(
        *titles,
        address,
        issuer=peer.issuer if peer else "",
        character_set=(peer.character_set if peer else "") or ae.character_set,
        policy=DuplicatePolicy(ae.duplicates),
        inspection=inspection_of(ae, tables_in(standard)),
        coercion=coercion,
        may_reject=peer is None or peer.may_reject,
    )
