"""The command line. What a command needs is imported when it runs, so that `isocenter --help` is quick."""


def main() -> None:
    """The program `isocenter`."""
    from isocenter.cli.app import app

    app()
