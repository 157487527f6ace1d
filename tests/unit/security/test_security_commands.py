"""The command line's part: hashes of passcodes, and options that contradict each other."""

import io

import pytest
from typer.testing import CliRunner

from isocenter.cli.app import app
from isocenter.cli.securing import Security
from isocenter.config import Peer
from isocenter.dimse import UserIdentity
from isocenter.errors import ConfigurationError
from isocenter.security.passcodes import is_right


def test_a_passcode_becomes_a_hash() -> None:
    done = CliRunner().invoke(app, ["user", "hash"], input="open sesame\n")
    assert done.exit_code == 0
    assert is_right(b"open sesame", done.stdout.strip())
    assert CliRunner().invoke(app, ["user", "hash"], input="\n").exit_code == 2


def test_options_become_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Security().identity() is None
    assert Security(user="anna").identity() == UserIdentity(1, b"anna", b"", response_wanted=True)
    assert Security(user="anna", passcode="word").identity() == UserIdentity(2, b"anna", b"word", response_wanted=True)
    monkeypatch.setattr("sys.stdin", io.StringIO("read\n"))
    assert Security(user="anna", passcode="-").identity() == UserIdentity(2, b"anna", b"read", response_wanted=True)
    assert Security(jwt="a.b.c").identity() == UserIdentity(5, b"a.b.c", b"", response_wanted=True)
    with pytest.raises(ConfigurationError, match="jwt"):
        Security(jwt="a.b.c", user="anna").identity()


def test_options_make_a_peer_one_over_tls() -> None:
    plain = Peer(title="A", host="a")
    assert Security().peer(plain) is plain
    assert Security(tls=True).peer(plain).tls
    assert Security(tls_name="b").peer(plain) == Peer(title="A", host="a", tls=True, tls_name="b")
