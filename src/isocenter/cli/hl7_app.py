"""The command group `hl7`."""

from pathlib import Path
from typing import Annotated

import typer

from isocenter.cli import mapping_app, options
from isocenter.cli.ending import stop, told
from isocenter.cli.installed import HERE, Installation, with_installation, with_settings

app = typer.Typer(no_args_is_help=True, help="HL7 messages: those that came, those to be sent, and tools to try both.")
queue_app = typer.Typer(help="Messages to be sent: those that wait, and those that were put aside.")
app.add_typer(queue_app, name="queue")
app.add_typer(mapping_app.app, name="mapping")

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="The message, as the list numbers it.")]
Numbers = Annotated[list[int] | None, typer.Argument(metavar="[NUMBER...]", help="Messages, as the list numbers them.")]
FeedName = Annotated[str, typer.Option("--feed", metavar="NAME", help="Only those of this feed.")]
Since = Annotated[str, typer.Option("--since", metavar="TIME", help="Only those from then on: 2024-01-31T15:30.")]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="Only those before.")]
Refused = Annotated[bool, typer.Option("--refused", help="Only those that were refused.")]

CharacterSet = Annotated[
    str, typer.Option("--charset", metavar="NAME", help="Of messages that name none (HL7 table 0211).")
]
PEM = "FILE"


@app.command()
@with_settings
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
    here: Installation = HERE,
) -> None:
    """Send messages one after the other, and tell how each is acknowledged."""
    from isocenter.cli import messaging
    from isocenter.cli.securing import Security

    with told():
        security = Security(tls=tls or ca is not None, cert=cert, cert_key=cert_key, ca=ca, tls_name=tls_name)
        settings = security.settings(here.settings().tls)
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


@app.command("list")
@with_installation
def list_(
    state: Annotated[str, typer.Option("--state", help="received, processed or refused.")] = "",
    refused: Refused = False,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only those that reuse another one's control ID.")] = False,
    feed: FeedName = "",
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List the messages that came, and what became of each."""
    from isocenter.cli import messages

    with told():
        chosen = messages.Chosen("refused" if refused else state, flagged, feed, since, until)
        stop(messages.list_all(chosen, limit, here.settings(), as_json=json))


@app.command()
@with_installation
def show(
    number: Number,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Show a message as it came, and how it was answered."""
    from isocenter.cli import messages

    with told():
        stop(messages.show(number, here.settings(), as_json=json))


@app.command()
@with_installation
def replay(
    numbers: Numbers = None,
    refused: Refused = False,
    everything: Annotated[bool, typer.Option("--all", help="All that are kept.")] = False,
    feed: FeedName = "",
    since: Since = "",
    until: Until = "",
    wait: Annotated[float, typer.Option("--wait", min=0, metavar="SECONDS", help="Wait so long for the end.")] = 0.0,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """Have the server process messages again, in the order in which they came."""
    from isocenter.cli import messages

    with told():
        chosen = messages.Chosen("refused" if refused else "", feed=feed, since=since, until=until)
        settings = here.settings()
        stop(messages.replay(numbers or [], chosen, wait, settings, as_json=json, everything=everything))


@queue_app.callback(invoke_without_command=True)
@with_installation
def queue(
    context: typer.Context,
    destination: Annotated[str, typer.Option("--to", metavar="NAME", help="Only those for this destination.")] = "",
    state: Annotated[str, typer.Option("--state", help="waiting, dead, sent or discarded; else the first two.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the oldest first.")] = 100,
    json: options.Json = False,
    here: Installation = HERE,
) -> None:
    """List the messages to be sent."""
    from isocenter.cli import messages

    if context.invoked_subcommand is None:
        with told():
            settings = here.settings()
            stop(messages.queue(destination, state, limit, settings, as_json=json))


@queue_app.command("show")
@with_installation
def queue_show(
    number: Number,
    here: Installation = HERE,
) -> None:
    """Show a message as it leaves."""
    from isocenter.cli import messages

    with told():
        stop(messages.queue_show(number, here.settings()))


@queue_app.command()
@with_installation
def retry(
    numbers: Numbers = None,
    here: Installation = HERE,
) -> None:
    """Have messages sent that were put aside: these, or all."""
    from isocenter.cli import messages

    with told():
        stop(messages.retry(numbers or [], here.settings()))


@queue_app.command()
@with_installation
def discard(
    numbers: Annotated[list[int], typer.Argument(metavar="NUMBER...", help="Messages, as the list numbers them.")],
    here: Installation = HERE,
) -> None:
    """Never send these messages."""
    from isocenter.cli import messages

    with told():
        stop(messages.discard(numbers, here.settings()))
