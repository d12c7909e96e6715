"""Who may call a service: compares the token of each request with the hashes in the token file."""

import hmac
import logging
import time
from pathlib import Path
from typing import Final

from athanor.errors import PermissionDeniedError, SettingsError, UnauthenticatedError
from athanor.serving.access.scope import Scope
from athanor.serving.access.token_file import Token, describe_models, hash_token, read_tokens

_FOLLOW_S: Final = 1.0
_SCHEME: Final = "bearer "
_REMEDY: Final = "send a token of this service as `authorization: Bearer <token>`"

_logger = logging.getLogger(__name__)


class Authenticator:
    """Lets in the bearers of a service's tokens. Follows the token file: a change counts within a second.

    It lets no caller in while the file is missing or damaged, not even one of before: a token may have been revoked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._looked_at = -_FOLLOW_S
        self._tokens: tuple[tuple[bytes, float, Token], ...] = ()
        self._problem: str | None = None

    def require(self, authorization: str | None, scope: Scope, model: str | None = None) -> None:
        """Return if a request may do what needs a scope. No error repeats what was sent.

        Args:
            authorization: the request's header or metadata of that name.
            model: the model that the request is about; None for all, or for the service itself.

        Raises:
            UnauthenticatedError: it holds no token, or one that is unknown or expired.
            PermissionDeniedError: its token does not include the scope, or is for other models. Without a model, one
                of single models opens only what needs scope predict: documents, metadata, reflection.
        """
        _require_model(self.require_scope(authorization, scope), scope, model)

    def require_scope(self, authorization: str | None, scope: Scope) -> Token:
        """As `require`, for a request that names its model later. Returns its token."""
        self._follow()
        token, expires = self._find(_parse(authorization))
        if expires <= time.time():
            raise UnauthenticatedError(f"token {token.name} expired at {token.expires_at}; ask for a new one")
        if not token.scope.includes(scope):
            raise PermissionDeniedError(
                f"token {token.name} has scope {token.scope.value}; this needs scope {scope.value}: ask for one"
            )
        return token

    def _find(self, text: str) -> tuple[Token, float]:
        digest = hash_token(text)
        found = None
        # Each is compared, and in whole: the time taken says nothing about any of them.
        for kept, expires, token in self._tokens:
            if hmac.compare_digest(kept, digest):
                found = token, expires
        if found is None:
            why = "the service cannot read its tokens" if self._problem else "the token is unknown here"
            raise UnauthenticatedError(f"{why}; {_REMEDY}")
        return found

    def _follow(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _FOLLOW_S:
            return
        self._looked_at = now
        identity = _identify(self._path)
        if identity != self._seen or self._problem or self._seen is None:
            self._seen = identity
            self._read()

    def _read(self) -> None:
        try:
            tokens = read_tokens(self._path)
        except (OSError, SettingsError) as error:
            if str(error) != self._problem:
                _logger.error("no caller is let in: %s", error)
            self._tokens, self._problem = (), str(error)
        else:
            self._tokens = tuple((bytes.fromhex(token.sha256), _expiry(token), token) for token in tokens)
            self._problem = None


def _require_model(token: Token, scope: Scope, model: str | None) -> None:
    if not token.models or (scope is Scope.PREDICT if model is None else token.allows(model)):
        return
    asked = "this is about all models" if model is None else f"this is about {model}"
    raise PermissionDeniedError(
        f"token {token.name} is for {describe_models(token.models)} alone; {asked}: ask for another token"
    )


def _parse(authorization: str | None) -> str:
    if not authorization:
        raise UnauthenticatedError(f"no token was sent; {_REMEDY}")
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise UnauthenticatedError(f"the authorization sent is not a bearer token; {_REMEDY}")
    return authorization[len(_SCHEME) :].strip()


def _expiry(token: Token) -> float:
    return token.expires_at.timestamp() if token.expires_at else float("inf")


def _identify(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file is replaced or written; None if it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
