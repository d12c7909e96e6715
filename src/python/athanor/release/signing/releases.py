"""Signatures of releases: Ed25519 (RFC 8032) over the manifest, and so over all files."""

import base64
import hashlib
import json
from binascii import Error as NoBase64
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import BaseModel, ConfigDict, Field

from athanor.errors import ReleaseError, SettingsError, StorageError
from athanor.release.files import Release
from athanor.system.atomic import create_file
from athanor.system.regular import read_regular
from athanor.system.user import user_name

_DOMAIN: Final = "athanor release 1"
"""Keeps signatures of releases apart from all else that the same key signs."""

_NO_KEY: Final = (OSError, ValueError, TypeError, UnsupportedAlgorithm)
_MAX_KEY_BYTES: Final = 16 * 1024


class Signature(BaseModel):
    """One signature of one release.

    Attributes:
        key_id: first 16 hexadecimal digits of the sha256 of the raw public key.
        digest: of the release.
        manifest: sha256 of the bytes of its manifest.
        signature: 64 bytes, in base64.
        by, at: signer and time (ISO 8601, UTC), as the signer states them; not signed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    manifest: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str
    by: str
    at: str


def make_key(path: Path) -> Path:
    """Makes a pair of keys as PEM files, and returns the path of the public one, `<path>.pub`.

    Raises:
        SettingsError: a file exists already, because a key is never replaced.
        StorageError: a file cannot be written; then none is left.
    """
    public_path = path.with_name(f"{path.name}.pub")
    if public_path.exists():
        _refuse_to_replace(public_path)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, private, mode=0o600)
    try:
        _write_new(public_path, public, mode=0o644)
    except BaseException:
        path.unlink()
        raise
    return public_path


def sign(release: Release, key_path: Path) -> Signature:
    """Signs a release.

    Args:
        key_path: the private key, as `make_key` writes it.

    Raises:
        SettingsError: the file is not such a key.
    """
    key = read_private_key(key_path)
    return Signature(
        key_id=key_id(key.public_key()),
        digest=release.digest,
        manifest=_manifest_digest(release),
        signature=base64.b64encode(key.sign(_message(release))).decode(),
        by=user_name(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def verify_signature(release: Release, signatures: Iterable[Signature], public_key_path: Path) -> Signature:
    """Verifies that this key signed this release, and returns the signature.

    Raises:
        SettingsError: the file is not a public key.
        ReleaseError: the key has not signed the release, or its signature is over another manifest or forged.
    """
    key = read_public_key(public_key_path)
    wanted, given = key_id(key), {signature.key_id: signature for signature in signatures}
    what = f"release {release.digest} of {release.identity.model}"
    if wanted not in given:
        others = ", ".join(sorted(given)) or "no key"
        raise ReleaseError(
            f"{what} is not signed by key {wanted} of {public_key_path}; signed by: {others}. Sign it with "
            "`registry sign`, or require another key"
        )
    found, manifest = given[wanted], _manifest_digest(release)
    if (found.digest, found.manifest) != (release.digest, manifest):
        raise ReleaseError(
            f"the signature of {what} by key {wanted} is over release {found.digest} with a manifest of sha256 "
            f"{found.manifest}; this manifest has {manifest}. It was changed or made again since: review it and sign it"
        )
    try:
        key.verify(base64.b64decode(found.signature, validate=True), _message(release))
    except (InvalidSignature, NoBase64):
        raise ReleaseError(
            f"the signature of {what} by key {wanted} is forged or damaged: {public_key_path} does not verify it"
        ) from None
    return found


def key_id(key: Ed25519PublicKey) -> str:
    """Short name of a key. It proves nothing."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _message(release: Release) -> bytes:
    """The signed bytes. JSON, so that the name of a model cannot imitate the other fields."""
    return json.dumps([_DOMAIN, release.identity.model, release.digest, _manifest_digest(release)]).encode()


def _manifest_digest(release: Release) -> str:
    """Of the bytes in the store: a verified manifest has no other bytes."""
    return hashlib.sha256(release.manifest.content).hexdigest()


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Raises SettingsError if the file is no such key."""
    try:
        key = load_pem_private_key(read_regular(path, _MAX_KEY_BYTES, follow_links=True), password=None)
    except _NO_KEY as error:
        raise SettingsError(f"{path} cannot be read as a private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{path} is a {type(key).__name__}; releases need an Ed25519 key")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Raises SettingsError if the file is no such key."""
    try:
        key = load_pem_public_key(read_regular(path, _MAX_KEY_BYTES, follow_links=True))
    except _NO_KEY as error:
        raise SettingsError(f"{path} cannot be read as a public key: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(f"{path} is a {type(key).__name__}; releases need an Ed25519 key")
    return key


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        create_file(path, content, mode)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            _refuse_to_replace(path)
        raise StorageError(f"{path} cannot be written: {error.strerror}; choose another place") from None


def _refuse_to_replace(path: Path) -> NoReturn:
    raise SettingsError(f"{path} exists already, and a key is never replaced; choose another name")
