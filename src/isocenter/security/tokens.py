"""JSON Web Tokens as user identities (PS3.7 D.3.3.7.1.4): signature, issuer, audience and time."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from isocenter.config.security import Jwt
from isocenter.errors import ConfigurationError, Reason, Refused

if TYPE_CHECKING:
    from joserfc.jwk import Key

_ALGORITHMS: Final = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "oct": ("HS256", "HS384", "HS512"),
    "OKP": ("Ed25519",),
}
"""What a key of each type may sign with, so that a public key is never taken for a shared secret."""
_DEFAULT: Final = frozenset({"RS256", "PS256", "ES256", "ES384", "HS256"})
_LONGEST: Final = 1 << 16


class Tokens:
    """Verifies tokens by what is configured."""

    def __init__(self, jwt: Jwt) -> None:
        self._jwt = jwt
        self._wanted = frozenset(jwt.algorithms) or _DEFAULT

    def user(self, token: bytes) -> str:
        """The user that a token is for. Raises Refused where it isn't good; the comment is for the log."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        if len(token) > _LONGEST:
            raise Refused(Reason.NOT_AUTHORIZED, "the token is too long")
        options: dict[str, Any] = {"exp": {"essential": True}}
        if self._jwt.issuer:
            options["iss"] = {"essential": True, "value": self._jwt.issuer}
        if self._jwt.audience:
            options["aud"] = {"essential": True, "value": self._jwt.audience}
        try:
            claims = self._claims(token)
            jwt.JWTClaimsRegistry(leeway=self._jwt.leeway, **options).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise Refused(Reason.NOT_AUTHORIZED, f"the token: {type(error).__name__}") from error
        user = claims.get(self._jwt.user)
        if not isinstance(user, str) or not user:
            raise Refused(Reason.NOT_AUTHORIZED, f"the token has no claim {self._jwt.user}")
        return user

    def _claims(self, token: bytes) -> dict[str, Any]:
        from joserfc import jwt
        from joserfc.errors import BadSignatureError, JoseError

        failure: JoseError = BadSignatureError()
        for key in self.keys:
            algorithms = [each for each in _ALGORITHMS.get(key.key_type, ()) if each in self._wanted]
            try:
                return jwt.decode(token, key, algorithms=algorithms).claims
            except JoseError as error:
                failure = error
        raise failure

    @cached_property
    def keys(self) -> "tuple[Key, ...]":
        """The issuer's. ConfigurationError where a file can't be read."""
        from joserfc.jwk import OctKey

        found = [key for path in self._jwt.keys for key in _read(path)]
        if self._jwt.secret:
            found.append(OctKey.import_key(self._jwt.secret))
        return tuple(found)


def _read(path: Path) -> "list[Key]":
    import json

    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey, import_key

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"identity.jwt.keys: cannot read {path}: {error.strerror}") from error
    try:
        if data.lstrip().startswith(b"{"):
            found = json.loads(data)
            keys: list[Key] = list(KeySet.import_key_set(found).keys) if "keys" in found else [import_key(found)]
            return [key for key in keys if key.key_type != "oct"]
    except (JoseError, ValueError, TypeError) as error:
        raise ConfigurationError(f"identity.jwt.keys: {path} holds no JWK") from error
    for kind in (RSAKey, ECKey, OKPKey):
        try:
            return [kind.import_key(data)]
        except (JoseError, ValueError, TypeError):
            continue  # a key of another kind
    raise ConfigurationError(f"identity.jwt.keys: {path} holds no public key")
