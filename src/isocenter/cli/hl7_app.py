"""The command group `hl7`."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli import options
from isocenter.cli.ending import stop, told

app = typer.Typer(no_args_is_help=True, help="HL7 messages over MLLP: to try feeds and receivers.")

CharacterSet = Annotated[
    str, typer.Option("--charset", metavar="NAME", help="Of messages that name none (HL7 table 0211).")
]
PEM = "FILE"


@app.command()
def send(
    receiver: Annotated[str, typer.Argument(metavar="HOST:PORT", help="The receiver; port 2575 if none is given.")],
    paths: Annotated[list[Path], typer.Argument(help="Files of messages, and folders of such, in order.")],
    renumber: Annotated[bool, typer.Option("--renumber", help="Give each message a control ID of its own.")] = False,
    retries: Annotated[int, typer.Option(min=0, help="Further tries where a connection is lost.")] = 3,
    wait: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="For an acknowledgement.")] = 30.0,
    charset: CharacterSet = "",
    tls: Annotated[bool, typer.Option("--tls", help="Over TLS.")] = False,
    ca: Annotated[Path | None, typer.Option(help="Certificates to trust in PEM.", metavar=PEM)] = None,
    cert: Annotated[Path | None, typer.Option(help="Our certificate: PEM, or PKCS #12.", metavar=PEM)] = None,
    cert_key: Annotated[Path | None, typer.Option(help="Its private key in PEM.", metavar=PEM)] = None,
    tls_name: Annotated[str, typer.Option(help="Whom the certificate must be for.", metavar="NAME")] = "",
    json: options.Json = False,
    config: options.ConfigFile = None,
    data: options.Data = None,
) -> None:
    """Send messages one after the other, and tell how each is acknowledged."""
    from isocenter.cli import messaging
    from isocenter.cli.configuring import settings_of
    from isocenter.cli.securing import Security

    with told():
        security = Security(tls=tls or ca is not None, cert=cert, cert_key=cert_key, ca=ca, tls_name=tls_name)
        settings = security.settings(settings_of(config, data).tls)
        target = messaging.Target.written(receiver, settings if security.tls else None, tls_name, wait, charset)
        stop(messaging.send(target, paths, renumber=renumber, retries=retries, as_json=json))


@app.command()
def listen(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 2575,
    host: Annotated[str, typer.Option(help="Address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    out: Annotated[Path | None, typer.Option(help="Keep each message as a file here.", metavar="DIR")] = None,
    answer: Annotated[str, typer.Option(help="AA, AE or AR.", metavar="CODE")] = "AA",
    count: Annotated[int, typer.Option(min=0, metavar="N", help="End after so many messages; 0: never.")] = 0,
    charset: CharacterSet = "",
    json: options.Json = False,
) -> None:
    """Take messages, answer them, and print a line for each: a receiver to try a feed with."""
    from isocenter.cli import messaging

    with told():
        keep = messaging.Keeping(out, answer, charset)
        stop(messaging.listen((host, port), keep, count, as_json=json))
