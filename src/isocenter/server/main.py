"""`isocenter serve`: prepares, binds, tells, and supervises."""

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isocenter import telemetry
from isocenter.config import Settings
from isocenter.errors import ConfigurationError, IsocenterError, Refused
from isocenter.lifecycle import choosing
from isocenter.rules import compiled
from isocenter.security.checks import check_security
from isocenter.server import places, startup
from isocenter.server.banner import banner
from isocenter.server.board import Board, counts
from isocenter.server.ports import Listeners, ae_ports, bind, drop, with_own, with_tls, write_ports
from isocenter.server.process import call, fill_holes, limit_arenas
from isocenter.server.supervisor import Plan, Supervisor
from isocenter.server.workers import ROLES
from isocenter.store.filesystem import FilesystemStore
from isocenter.workflow.orders import planning

log = telemetry.logger("server")

_LASTING = ("data", "host", "dicom_port", "http_port", "database", "durability")
"""Settings that a reload can't change."""


def serve(settings: Settings, reload: Callable[[], Settings]) -> int:
    """Run the server in this process until it is told to stop; the exit status.

    `reload` gives the settings anew, for SIGHUP. Raises ConfigurationError where it can't start.
    """
    telemetry.configure(settings.log_level)
    limit_arenas()
    _check_rules(settings)
    places.make_data_folder(settings)
    store = places.open_store(settings)
    with store.exclusive():
        listeners = bind(settings)
        folder = places.make_run_folder(settings)
        try:
            prepared = call(lambda: startup.prepare(settings, store))
            held = startup.with_registry(settings, prepared)
            call(lambda: check_security(settings))
            listeners = with_tls(held, with_own(held, listeners, startup.stored_aes(settings, held)))
            status = _supervise(settings, reload, listeners, folder, prepared)
            if status == 0:
                _note_stop(settings, store)
            return status
        finally:
            listeners.close()
            places.remove_run_folder(settings, folder)


def _supervise(
    settings: Settings,
    reload: Callable[[], Settings],
    listeners: Listeners,
    folder: Path,
    prepared: dict[str, Any],
) -> int:
    if prepared["adopted"]:
        log.warning("index.adopted", objects=prepared["adopted"])
    sys.stdout.write(banner(startup.with_registry(settings, prepared), listeners, prepared["token"]))
    sys.stdout.flush()
    plan = Plan(
        roles=ROLES,
        counts=counts,
        reload=lambda: _reloaded(settings, reload()),
        on_ready=lambda: _announce(settings, listeners),
        rebind=_rebound,
    )
    slots = 2 * sum(counts(settings).values()) + 8
    board = Board(slots, max(settings.limits.associations, 1000))
    gc.collect()
    gc.freeze()
    fill_holes()
    # an object received makes hundreds of small tuples and no cycle: look for one less often than after every 700
    gc.set_threshold(20_000, 20, 50)
    return Supervisor(settings, plan, listeners, board, folder).run()


def _rebound(settings: Settings, listeners: Listeners) -> Listeners:
    """The sockets that the AEs want which are configured now, in the settings or in the database; told anew."""
    held = startup.with_registry(settings, call(lambda: startup.registered(settings)))
    call(lambda: check_security(settings))
    now = with_own(held, listeners, startup.stored_aes(settings, held))
    try:
        now = with_tls(held, now)
    except ConfigurationError:
        drop(now, listeners)
        raise
    if now != listeners:
        _write_ports(settings, now)
        log.info("ports.changed", ae_ports=ae_ports(now))
    return now


def _write_ports(settings: Settings, listeners: Listeners) -> None:
    try:
        write_ports(settings.run_folder, settings, listeners)
    except OSError:
        log.error("ports.unwritten", exc_info=True)  # on a full disk it still serves what it holds


def _announce(settings: Settings, listeners: Listeners) -> None:
    _write_ports(settings, listeners)
    tls = {"tls_ports": [each.port for each in listeners.tls]} if listeners.tls else {}
    ports = {"dicom_port": listeners.dicom_port, "http_port": listeners.http_port}
    log.info("server.ready", **ports, **listeners.hl7_ports, **tls)


def _note_stop(settings: Settings, store: FilesystemStore) -> None:
    """Best effort: without it the next start compares index and store."""
    try:
        call(lambda: startup.note_stop(settings, store))
    except IsocenterError as error:
        log.warning("stop.unnoted", reason=error.reason, comment=error.comment)


def _check_rules(settings: Settings) -> None:
    """Raises ConfigurationError. In a child, since a hook's module may do whatever it likes."""
    choosing.compiled(settings)
    planning.check(settings.hl7.feeds)
    if settings.rules or settings.hooks.receive or settings.hooks.send:
        try:
            call(lambda: compiled(settings) and None)
        except Refused as error:
            raise ConfigurationError(f"hooks: {error.comment}") from error


def _reloaded(old: Settings, new: Settings) -> Settings:
    for name in _LASTING:
        if getattr(old, name) != getattr(new, name):
            raise ConfigurationError(f"{name}: changing it needs a restart")
    if (old.hl7_listens, old.hl7.port, old.hl7.tls_port) != (new.hl7_listens, new.hl7.port, new.hl7.tls_port):
        raise ConfigurationError("hl7: changing where it listens needs a restart")
    _check_rules(new)
    telemetry.configure(new.log_level)
    return new
