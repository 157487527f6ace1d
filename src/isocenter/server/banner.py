"""What a start prints for the person at the terminal."""

from isocenter import __version__
from isocenter.config import Settings
from isocenter.server.ports import Listeners, ae_ports


def banner(settings: Settings, listeners: Listeners, token: str | None) -> str:
    """Where it listens, under which titles, the token if it is new, and what stands open."""
    host = settings.host
    titles = ", ".join(ae.title for ae in settings.aes)
    lines = [
        f"Isocenter {__version__}",
        f"  AE title   {titles}",
        f"  DICOM      {host} port {listeners.dicom_port} ({_who(settings)})",
        *(f"             {host} port {some(ports)}: {title}" for title, ports in ae_ports(listeners).items()),
        f"  HTTP       {root(settings, listeners)} ({'open' if settings.http_open else 'token required'})",
        f"  DICOMweb   {root(settings, listeners)}dicom-web",
        *_hl7(settings, listeners),
        f"  data       {settings.data.absolute()}",
    ]
    if token is not None:
        lines += ["", f"  admin token (shown only now): {token}"]
    return "\n".join([*lines, *_warnings(settings)]) + "\n"


def _hl7(settings: Settings, listeners: Listeners) -> list[str]:
    ports = listeners.hl7_ports
    told = [f"port {ports['hl7_port']}"] if "hl7_port" in ports else []
    told += [f"port {ports['hl7_tls_port']} (TLS)"] if "hl7_tls_port" in ports else []
    return [f"  HL7        {settings.host} {', '.join(told)}"] if told else []


def some(ports: list[int]) -> str:
    """Ports for a person."""
    return ", ".join(map(str, ports))


def root(settings: Settings, listeners: Listeners) -> str:
    """The URL of the start page."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listeners.http_port}/"


def _who(settings: Settings) -> str:
    return "open to anyone" if settings.policy == "open" else f"{len(settings.peers)} known peers"


def _warnings(settings: Settings) -> list[str]:
    """What others on the network can do, as a box that is hard to miss."""
    if settings.loopback:
        return []
    told = []
    if settings.http_open:
        told.append("HTTP asks for no token: anyone who reaches this port reads everything.")
    if any(settings.policy_of(ae) == "open" for ae in settings.aes):
        told.append("The DICOM port is open: anyone who reaches it stores and reads.")
    if settings.hl7_listens and settings.hl7_open:
        told.append("The HL7 port is open: anyone who reaches it changes worklist and patients.")
    if not told:
        return []
    rule = "!" * 78
    return ["", rule, *(f"!! {line}" for line in told), "!! Do not run it like this outside a test.", rule]
