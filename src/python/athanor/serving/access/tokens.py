"""Who may call a service: bearer tokens, of which only hashes are kept.

A token is 32 random bytes. Nobody guesses one, so that a plain hash keeps it secret; a slow hash would only cost each
request time.
"""

import enum
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from athanor.errors import NotFoundError, PermissionDeniedError, SettingsError, UnauthenticatedError
from athanor.system.atomic import replace_file
from athanor.system.locks import FileLock, acquire

PREFIX: Final = "athn_"
LOCAL_NAME: Final = "local"

_SECRET_BYTES: Final = 32
_LOOK_S: Final = 1.0
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_SCHEME: Final = "bearer "
_REMEDY: Final = "send a token of this service as `authorization: Bearer <token>`"

_logger = logging.getLogger(__name__)


class Scope(enum.Enum):
    """What a token lets its bearer do."""

    PREDICT = "predict"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        return self is Scope.ADMIN or self is other


class Token(BaseModel):
    """What is kept of a token.

    Attributes:
        sha256: of the token's text, in hexadecimal.
        expires_at: the token is refused from then on; None for never.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=rf"^{_NAME}$")
    scope: Scope
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None


class _TokenFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[Token, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> "_TokenFile":
        names = [token.name for token in self.tokens]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several tokens are named {', '.join(repeated)}")
        return self


class Tokens:
    """The tokens of a service, for its doors. Follows the file: who is added or revoked there, is here in a second.

    A file that is missing or damaged lets nobody in, not even those of before: somebody may have been revoked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._looked_at = -_LOOK_S
        self._tokens: tuple[tuple[bytes, float, Token], ...] = ()
        self._problem: str | None = None

    def require(self, authorization: str | None, scope: Scope) -> None:
        """Returns if a request may do what needs a scope. No error's text holds what was sent.

        Args:
            authorization: the request's header or metadata of that name.

        Raises:
            UnauthenticatedError: it holds no token, or none that is valid now.
            PermissionDeniedError: its token does not include the scope.
        """
        self._follow()
        token, expires = self._find(_parse(authorization))
        if expires <= time.time():
            raise UnauthenticatedError(f"token {token.name} expired at {token.expires_at}; ask for a new one")
        if not token.scope.includes(scope):
            raise PermissionDeniedError(
                f"token {token.name} has scope {token.scope.value}; this needs scope {scope.value}"
            )

    def _find(self, text: str) -> tuple[Token, float]:
        digest = _hash(text)
        found = None
        # All are compared, and each wholly: how long it takes tells nothing about any of them.
        for kept, expires, token in self._tokens:
            if hmac.compare_digest(kept, digest):
                found = token, expires
        if found is None:
            why = "the service cannot read its tokens" if self._problem else "the token is not known here"
            raise UnauthenticatedError(f"{why}; {_REMEDY}")
        return found

    def _follow(self) -> None:
        now = time.monotonic()
        if now - self._looked_at < _LOOK_S:
            return
        self._looked_at = now
        identity = _identify(self._path)
        if identity != self._seen or self._problem or self._seen is None:
            self._seen = identity
            self._read()

    def _read(self) -> None:
        try:
            tokens = _read(self._path).tokens
        except (OSError, SettingsError) as error:
            if str(error) != self._problem:
                _logger.error("nobody is let in: %s", error)
            self._tokens, self._problem = (), str(error)
        else:
            self._tokens = tuple((_bytes(token), _timestamp(token), token) for token in tokens)
            self._problem = None


def tokens_path(folder: Path, project: str) -> Path:
    """Where the hashes of the tokens of a project's service are kept."""
    return folder / f"{project}.tokens.json"


def local_token_path(folder: Path, project: str) -> Path:
    """Where the token that this machine's client and commands use lies in plain, for its owner alone."""
    return folder / f"{project}.token"


def make_token(path: Path, name: str, scope: Scope, expires_at: datetime | None = None) -> str:
    """Adds a token to a file and returns its text, which is kept nowhere.

    Args:
        path: the file; made if it is missing.
        expires_at: with a time zone.

    Raises:
        SettingsError: the name is taken or none, the expiry is over, or the file is damaged.
    """
    _check(name, expires_at)
    with _writing(path):
        tokens = _read_or_none(path)
        if any(token.name == name for token in tokens):
            raise SettingsError(f"there is a token named {name} already; revoke it or choose another name")
        return _add(path, tokens, name, scope, expires_at)


def list_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file, expired ones too, oldest first; none if there is no file.

    Raises:
        SettingsError: the file is damaged.
    """
    return tuple(_read_or_none(path))


def revoke_token(path: Path, name: str) -> None:
    """Removes a token. Services that run refuse it within a second.

    Raises:
        NotFoundError: there is none of this name.
        SettingsError: the file is damaged.
    """
    with _writing(path):
        tokens = _read_or_none(path)
        left = [token for token in tokens if token.name != name]
        if len(left) == len(tokens):
            known = ", ".join(token.name for token in tokens) or "none"
            raise NotFoundError(f"no token is named {name}; there are: {known}")
        _write(path, left)


def local_token(folder: Path, project: str) -> str:
    """The admin token of this machine; makes it if there is none, or if others could have read it.

    Raises:
        SettingsError: the file of hashes is damaged.
    """
    path, plain = tokens_path(folder, project), local_token_path(folder, project)
    with _writing(path):
        tokens = _read_or_none(path)
        kept = next((token for token in tokens if token.name == LOCAL_NAME), None)
        if kept is not None and (text := _read_private(plain)) and hmac.compare_digest(_bytes(kept), _hash(text)):
            return text
        others = [token for token in tokens if token.name != LOCAL_NAME]
        text = _add(path, others, LOCAL_NAME, Scope.ADMIN, None)
        replace_file(plain, text.encode())
        return text


def _parse(authorization: str | None) -> str:
    if not authorization:
        raise UnauthenticatedError(f"no token was sent; {_REMEDY}")
    if authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise UnauthenticatedError(f"the authorization that was sent is no bearer token; {_REMEDY}")
    return authorization[len(_SCHEME) :].strip()


def _hash(text: str) -> bytes:
    # What is no text, as a header may hold anything, is no token either.
    return hashlib.sha256(text.encode(errors="backslashreplace")).digest()


def _bytes(token: Token) -> bytes:
    return bytes.fromhex(token.sha256)


def _timestamp(token: Token) -> float:
    return token.expires_at.timestamp() if token.expires_at else float("inf")


def _identify(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file is replaced or written; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def _check(name: str, expires_at: datetime | None) -> None:
    if not re.fullmatch(_NAME, name):
        raise SettingsError(f"a token cannot be named {name!r}; allowed are 64 letters, digits, dots, dashes, _")
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= datetime.now(UTC)):
        raise SettingsError(f"a token cannot expire at {expires_at}; give a time to come, with its time zone")


def _add(path: Path, tokens: Sequence[Token], name: str, scope: Scope, expires_at: datetime | None) -> str:
    text = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    made = Token(
        name=name,
        scope=scope,
        sha256=_hash(text).hex(),
        created_at=datetime.now(UTC).replace(microsecond=0),
        expires_at=expires_at,
    )
    _write(path, [*tokens, made])
    return text


def _write(path: Path, tokens: Sequence[Token]) -> None:
    # `replace_file` makes files that their owner alone can read.
    replace_file(path, _TokenFile(tokens=tuple(tokens)).model_dump_json(indent=2).encode())


def _read_or_none(path: Path) -> Sequence[Token]:
    try:
        return _read(path).tokens
    except FileNotFoundError:
        return ()


def _read(path: Path) -> _TokenFile:
    try:
        return _TokenFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        # Only where and what: the values might be tokens that somebody pasted.
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise SettingsError(
            f"{path} is no file of tokens: {problems}; restore it, or remove it to make new ones"
        ) from None


def _read_private(path: Path) -> str | None:
    """What a file says that nobody but its owner may read; None if others may, or there is none."""
    try:
        with path.open() as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                return None
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _writing(path: Path) -> FileLock:
    """The right to change a file of tokens: one process or thread at a time."""
    return acquire(path.with_name(f"{path.name}.lock"))
