"""User identities: each kind where it is configured and where it is not, and what is told of a refusal."""

import base64
import hmac
import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from isocenter.config import Identity, Jwt, User
from isocenter.dimse import UserIdentity
from isocenter.errors import ConfigurationError
from isocenter.security.identity import NOBODY, Caller, Identities, Verified, check, is_configured
from isocenter.security.passcodes import hashed, is_right
from log_records import fields, logged

CALLER = Caller("WARD", "ISOCENTER", "10.0.0.7")
SECRET = "a secret of thirty-two characters"
HASH = hashed("Zwölf Boxkämpfer")
USERS = (User(name="anna", passcode=HASH), User(name="bert", titles=("WARD", "ICU")), User(name="cleo"))


def given(kind: int, primary: bytes, secondary: bytes = b"", *, wanted: bool = False) -> UserIdentity:
    return UserIdentity(kind, primary, secondary, wanted)


def decided(identities: Identities, identity: UserIdentity | None, demand: Any = "optional") -> Verified | None:
    return identities.decide(demand, identity, CALLER)


def test_where_none_is_asked_for_anything_passes() -> None:
    identities = Identities(Identity(), USERS)
    assert decided(identities, None, "none") == NOBODY
    assert decided(identities, given(2, b"anna", b"wrong", wanted=True), "none") == NOBODY
    assert decided(identities, None, "optional") == NOBODY
    assert decided(identities, None, "required") is None


def test_kinds_that_are_not_configured_are_passed_over_or_refused() -> None:
    identities = Identities(Identity(), ())
    assert not is_configured(Identity(), ())
    for kind in (1, 2, 3, 4, 5, 9):
        assert decided(identities, given(kind, b"x", b"y", wanted=True)) == NOBODY
        assert decided(identities, given(kind, b"x", b"y", wanted=True), "required") is None


def test_a_name_alone_is_believed_only_where_that_is_set() -> None:
    assert decided(Identities(Identity(), USERS), given(1, b"cleo")) == NOBODY
    identities = Identities(Identity(names=True), USERS)
    assert decided(identities, given(1, b"cleo")) == Verified("cleo", None)
    assert decided(identities, given(1, b"cleo", wanted=True)) == Verified("cleo", b"")
    assert decided(identities, given(1, b"anna")) is None, "she has a passcode"
    assert decided(identities, given(1, b"dora")) is None


@pytest.mark.req("C-RULE-77")
def test_a_name_with_its_passcode() -> None:
    identities = Identities(Identity(), USERS)
    right = "Zwölf Boxkämpfer".encode()
    assert decided(identities, given(2, b"anna", right, wanted=True), "required") == Verified("anna", b"")
    for name, passcode in ((b"anna", b"wrong"), (b"anna", b""), (b"dora", right), (b"cleo", b""), (b"\xff", right)):
        assert decided(identities, given(2, name, passcode)) is None


def test_a_user_may_be_bound_to_titles() -> None:
    identities = Identities(Identity(names=True), USERS)
    assert identities.decide("optional", given(1, b"bert"), CALLER) == Verified("bert", None)
    assert identities.decide("optional", given(1, b"bert"), CALLER._replace(calling="LAB")) is None


def test_passcodes_are_kept_as_hashes() -> None:
    assert HASH.startswith("$argon2id$")
    assert hashed("same") != hashed("same")
    assert is_right("Zwölf Boxkämpfer".encode(), HASH)
    assert not is_right(b"Zwoelf", HASH)
    assert not is_right(b"", "")
    assert not is_right(b"x", "$argon2id$broken")


# --- tokens


def token(key: Key, algorithm: str, **claims: object) -> bytes:
    told = {"sub": "anna", "iss": "https://id.example", "aud": "isocenter", "exp": int(time.time()) + 60, **claims}
    known = {name: value for name, value in told.items() if value is not None}
    return jwt.encode({"alg": algorithm}, known, key, algorithms=[algorithm]).encode()


@pytest.fixture(name="keys", scope="module")
def fixture_keys() -> dict[str, Key]:
    return {
        "rsa": RSAKey.generate_key(2048),
        "ec": ECKey.generate_key("P-256"),
        "oct": OctKey.import_key(SECRET),
        "other": ECKey.generate_key("P-256"),
    }


@pytest.fixture(name="identities", scope="module")
def fixture_identities(keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Identities:
    folder = tmp_path_factory.mktemp("jwt")
    (folder / "rsa.pem").write_bytes(keys["rsa"].as_pem(private=False))
    (folder / "set.json").write_text(json.dumps({"keys": [keys["ec"].as_dict(private=False)]}))
    trusted = Jwt(
        keys=(folder / "rsa.pem", folder / "set.json"), secret=SECRET, issuer="https://id.example", audience="isocenter"
    )
    return Identities(Identity(jwt=trusted), ())


@pytest.mark.parametrize(("name", "algorithm"), [("rsa", "RS256"), ("rsa", "PS256"), ("ec", "ES256"), ("oct", "HS256")])
def test_good_tokens(identities: Identities, keys: dict[str, Key], name: str, algorithm: str) -> None:
    good = token(keys[name], algorithm)
    assert decided(identities, given(5, good), "required") == Verified("anna", None)
    assert decided(identities, given(5, good, wanted=True)) == Verified("anna", b"")
    assert decided(identities, given(5, token(keys[name], algorithm, aud=["x", "isocenter"]))) == Verified("anna", None)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"sub": 7},
    ],
)
def test_bad_claims(identities: Identities, keys: dict[str, Key], claims: dict[str, object]) -> None:
    assert decided(identities, given(5, token(keys["ec"], "ES256", **claims))) is None


def test_bad_tokens(identities: Identities, keys: dict[str, Any]) -> None:
    good = token(keys["ec"], "ES256")
    head, body, signature = good.split(b".")
    unsigned = b"eyJhbGciOiJub25lIn0." + body + b"."
    # the public key as if it were a shared secret
    start = token(keys["oct"], "HS256").rpartition(b".")[0]
    mac = hmac.digest(keys["rsa"].as_pem(private=False), start, "sha256")
    confused = start + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")
    others = (
        token(keys["other"], "ES256"), token(keys["oct"], "HS512"), b"", b"...", b"a.b.c", head + b"." + body + b".",
        head + b"." + body + b"x." + signature, unsigned, confused, b"x" * 70_000,
    )  # fmt: skip
    for each in others:
        assert decided(identities, given(5, each)) is None


def test_keys_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no key")
    (tmp_path / "json").write_text('{"kty": "no"}')
    for name, message in (("none", "cannot read"), ("text", "no public key"), ("json", "no JWK")):
        with pytest.raises(ConfigurationError, match=message):
            check(Identity(jwt=Jwt(keys=(tmp_path / name,))), ())
    with pytest.raises(ConfigurationError, match="32 characters"):
        check(Identity(jwt=Jwt(secret="short")), ())


# --- programs


def program(folder: Path, body: str) -> tuple[str, ...]:
    path = folder / "verify"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return (str(path),)


def test_a_program_verifies_kerberos_and_saml(tmp_path: Path) -> None:
    command = program(
        tmp_path, 'read -r ticket; test "$ticket" = good || exit 1; echo "$ISOCENTER_CALLING"; printf "to"'
    )
    identities = Identities(Identity(kerberos=command, saml=command), ())
    for kind in (3, 4):
        assert decided(identities, given(kind, b"good\n"), "required") == Verified("WARD", None)
        assert decided(identities, given(kind, b"good\n", wanted=True)) == Verified("WARD", b"to")
        assert decided(identities, given(kind, b"bad\n")) is None


@pytest.mark.parametrize("body", ["exit 0", "echo; exit 0", "echo anna; exit 3", "kill -9 $$"])
def test_a_program_that_names_nobody_lets_nobody_in(tmp_path: Path, body: str) -> None:
    identities = Identities(Identity(kerberos=program(tmp_path, body)), ())
    assert decided(identities, given(3, b"x")) is None


def test_a_program_that_is_missing_or_hangs_lets_nobody_in(tmp_path: Path) -> None:
    missing = Identities(Identity(saml=(str(tmp_path / "none"),)), ())
    assert decided(missing, given(4, b"x")) is None
    hanging = Identities(Identity(saml=program(tmp_path, "exec sleep 60"), timeout=0.1), ())
    assert decided(hanging, given(4, b"x")) is None


def test_a_refusal_is_logged_without_what_was_given() -> None:
    with logged("security.identity") as records:
        decided(Identities(Identity(), USERS), given(2, b"anna", b"Geheimwort"))
    (told,) = fields(records, "identity.refused")
    assert told["kind"] == "passcode"
    assert "Geheimwort" not in str(vars(records[0]))
    assert "Geheimwort" not in repr(given(2, b"anna", b"Geheimwort"))
