"""The file of a service's tokens, which keeps their hashes, and the one token that this machine keeps in plain.

A token is 32 random bytes. They cannot be guessed, so that a plain hash keeps them secret; a slow hash would only cost
each request time.
"""

import hashlib
import hmac
import re
import secrets
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from athanor.errors import NotFoundError, SettingsError
from athanor.home import local_token_path
from athanor.model_names import check_patterns, matches
from athanor.serving.access.scope import Scope
from athanor.system.atomic import replace_file
from athanor.system.locks import FileLock, acquire
from athanor.system.regular import read_regular

PREFIX: Final = "athn_"
LOCAL_NAME: Final = "local"

_SECRET_BYTES: Final = 32
_MAX_BYTES: Final = 1024**2
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def _checked(patterns: tuple[str, ...]) -> tuple[str, ...]:
    check_patterns(patterns)
    return patterns


class Token(BaseModel):
    """A token, as the file keeps it.

    Attributes:
        models: names or patterns of the models that it is for; empty for all.
        sha256: of the token's text, in hexadecimal.
        expires_at: the token is refused from then on; None if it never expires.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=rf"^{_NAME}$")
    scope: Scope
    models: Annotated[tuple[str, ...], AfterValidator(_checked)] = ()
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    def allows(self, model: str) -> bool:
        """Whether it is for a model."""
        return not self.models or matches(model, self.models)


class _TokenFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[Token, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> "_TokenFile":
        names = [token.name for token in self.tokens]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several tokens are named {', '.join(repeated)}")
        return self


def tokens_path(folder: Path, service: str) -> Path:
    """The file of hashes of a service's tokens."""
    return folder / f"{service}.tokens.json"


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file. Raises OSError if it cannot be read, SettingsError if it is damaged."""
    try:
        # Kubernetes mounts secrets as links.
        return _TokenFile.model_validate_json(read_regular(path, _MAX_BYTES, follow_links=True)).tokens
    except ValidationError as error:
        # Without the values: they might be tokens, pasted by hand.
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise SettingsError(
            f"{path} is not a token file: {problems}; restore it, or remove it and create the tokens anew"
        ) from None


def make_token(
    path: Path, name: str, scope: Scope, expires_at: datetime | None = None, models: Sequence[str] = ()
) -> str:
    """Add a token to a file and return its text, which is kept nowhere.

    Args:
        path: the file; created if it is missing.
        expires_at: with a time zone.
        models: names or patterns of the models that it is for; empty for all.

    Raises:
        SettingsError: the name is taken or invalid, the expiry has passed, the scope is not of single models, or the
            file is damaged.
    """
    _check(name, expires_at)
    _check_models(scope, models)
    with _writing(path):
        tokens = _read_or_none(path)
        if any(token.name == name for token in tokens):
            raise SettingsError(f"a token named {name} already exists; revoke it or choose another name")
        return _add(path, tokens, name, scope, expires_at, models)


def list_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file, also expired ones, oldest first; empty if the file is missing.

    Raises:
        SettingsError: the file is damaged.
    """
    return tuple(_read_or_none(path))


def revoke_token(path: Path, name: str) -> None:
    """Remove a token. Running services refuse it within a second.

    Raises:
        NotFoundError: no token has this name.
        SettingsError: the file is damaged.
    """
    with _writing(path):
        tokens = _read_or_none(path)
        left = [token for token in tokens if token.name != name]
        if len(left) == len(tokens):
            known = ", ".join(token.name for token in tokens) or "none"
            raise NotFoundError(f"no token is named {name!r}; known tokens: {known}")
        _write(path, left)


def local_token(folder: Path, service: str) -> str:
    """The admin token of this machine, as `keep_token`. Raises SettingsError if the file of hashes is damaged."""
    return _keep(tokens_path(folder, service), LOCAL_NAME, Scope.ADMIN, (), local_token_path(folder, service))


def keep_token(path: Path, name: str, scope: Scope, plain: Path, models: Sequence[str] = ()) -> str:
    """A token that is kept in plain in a file; created if it is missing, or replaced if others could have read it.

    Args:
        path: the file of hashes; created if it is missing.
        plain: the file with the token.
        models: as `make_token` takes them.

    Raises:
        SettingsError: the name is invalid or belongs to a token with another scope or other models, the scope is not of
            single models, or the file of hashes is damaged.
    """
    _check(name, None)
    _check_models(scope, models)
    return _keep(path, name, scope, models, plain)


def _keep(path: Path, name: str, scope: Scope, models: Sequence[str], plain: Path) -> str:
    with _writing(path):
        tokens = _read_or_none(path)
        kept = next((token for token in tokens if token.name == name), None)
        is_same = kept is not None and (kept.scope, kept.models) == (scope, tuple(models))
        if kept and not is_same and name != LOCAL_NAME:
            raise SettingsError(
                f"token {name} has scope {kept.scope.value} and is for {describe_models(kept.models)}; revoke it or"
                " choose another name"
            )
        text = _read_private(plain)
        if kept and is_same and text and hmac.compare_digest(kept.sha256, hash_token(text).hex()):
            return text
        others = [token for token in tokens if token.name != name]
        text = _add(path, others, name, scope, None, models)
        replace_file(plain, text.encode())
        return text


def describe_models(patterns: Sequence[str]) -> str:
    """The models that a token is for, in words."""
    return f"models {', '.join(patterns)}" if patterns else "all models"


def hash_token(text: str) -> bytes:
    # Every header value has a hash, even one that is not text.
    return hashlib.sha256(text.encode(errors="backslashreplace")).digest()


def _check(name: str, expires_at: datetime | None) -> None:
    if not re.fullmatch(_NAME, name):
        raise SettingsError(
            f"token name {name!r} is invalid; use up to 64 letters, digits and ._-, first a letter or digit"
        )
    if name == LOCAL_NAME:
        raise SettingsError(
            f"token name {LOCAL_NAME} is reserved for this machine's token, which `up` creates; choose another name"
        )
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= datetime.now(UTC)):
        raise SettingsError(f"a token cannot expire at {expires_at}; give a future time with its time zone")


def _check_models(scope: Scope, models: Sequence[str]) -> None:
    if models and scope is Scope.METRICS:
        raise SettingsError("metrics are of all models, and a token of scope metrics too; leave out --model")
    try:
        check_patterns(models)
    except ValueError as error:
        raise SettingsError(f"--model {error}") from None


def _add(
    path: Path, tokens: Sequence[Token], name: str, scope: Scope, expires_at: datetime | None, models: Sequence[str]
) -> str:
    text = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    made = Token(
        name=name,
        scope=scope,
        models=tuple(models),
        sha256=hash_token(text).hex(),
        created_at=datetime.now(UTC).replace(microsecond=0),
        expires_at=expires_at,
    )
    _write(path, [*tokens, made])
    return text


def _write(path: Path, tokens: Sequence[Token]) -> None:
    # `replace_file` creates files that their owner alone can read.
    replace_file(path, _TokenFile(tokens=tuple(tokens)).model_dump_json(indent=2).encode())


def _read_or_none(path: Path) -> Sequence[Token]:
    try:
        return read_tokens(path)
    except FileNotFoundError:
        return ()


def _read_private(path: Path) -> str | None:
    """The text of a file that its owner alone may read; None if others may read it too, or it is missing."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            return None
        return read_regular(path, _MAX_BYTES, follow_links=True).decode().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _writing(path: Path) -> FileLock:
    """Take the right to change a token file: one process or thread at a time."""
    return acquire(path.with_name(f"{path.name}.lock"))
