"""Signatures of a traffic file: which releases answer under which numbers, since which revision.

A signed release alone may be put back, or given the number of another: its signature knows neither.
"""

import base64
import hashlib
import json
from binascii import Error as NoBase64
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from pydantic import BaseModel, ConfigDict, Field

from athanor.errors import ReleaseError
from athanor.release.signing.releases import key_id, read_private_key, read_public_key
from athanor.release.traffic import Traffic
from athanor.system.user import user_name

_DOMAIN: Final = "athanor traffic 1"
"""Keeps signatures of traffic apart from all else that the same key signs."""


class TrafficSignature(BaseModel):
    """One signature of one traffic file.

    Attributes:
        key_id: first 16 hexadecimal digits of the sha256 of the raw public key.
        revision: of the traffic file.
        traffic: sha256 of its content, as `traffic_digest` computes it.
        at: time, ISO 8601, UTC; signed.
        signature: 64 bytes, in base64.
        by: signer, as stated by the signer; not signed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    revision: int = Field(ge=1)
    traffic: str = Field(pattern=r"^[0-9a-f]{64}$")
    at: str
    signature: str
    by: str


def traffic_digest(traffic: Traffic) -> str:
    """sha256, in hexadecimal, over model, revision, and the digest, number and weight of each release."""
    content = json.dumps(traffic.document(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def sign_traffic(traffic: Traffic, key_path: Path) -> TrafficSignature:
    """Signs a traffic file. Raises SettingsError if the file of the private key is no such key."""
    key, at = read_private_key(key_path), datetime.now(UTC).isoformat(timespec="seconds")
    return TrafficSignature(
        key_id=key_id(key.public_key()),
        revision=traffic.revision,
        traffic=traffic_digest(traffic),
        at=at,
        signature=base64.b64encode(key.sign(_message(traffic, at))).decode(),
        by=user_name(),
    )


def verify_traffic(traffic: Traffic, signatures: Iterable[TrafficSignature], public_key_path: Path) -> TrafficSignature:
    """Verifies that this key signed this traffic, and returns the signature.

    Raises:
        SettingsError: the file is not a public key.
        ReleaseError: the key has not signed this traffic, or its signature is forged.
    """
    key = read_public_key(public_key_path)
    wanted, given = key_id(key), {signature.key_id: signature for signature in signatures}
    what = f"traffic revision {traffic.revision} of {traffic.model}"
    remedy = f"Sign it with `athanor registry sign-traffic {traffic.model} --key KEY`"
    if wanted not in given:
        others = ", ".join(sorted(given)) or "no key"
        raise ReleaseError(f"{what} is not signed by key {wanted} of {public_key_path}; signed by: {others}. {remedy}")
    found = given[wanted]
    if (found.revision, found.traffic) != (traffic.revision, traffic_digest(traffic)):
        raise ReleaseError(
            f"the signature by key {wanted} is over revision {found.revision} of {traffic.model}, and not over "
            f"{what} as it is now: it was moved or changed since. {remedy}"
        )
    try:
        key.verify(base64.b64decode(found.signature, validate=True), _message(traffic, found.at))
    except (InvalidSignature, NoBase64):
        raise ReleaseError(
            f"the signature of {what} by key {wanted} is forged or damaged: {public_key_path} does not verify it"
        ) from None
    return found


def _message(traffic: Traffic, at: str) -> bytes:
    """The signed bytes."""
    return json.dumps([_DOMAIN, traffic.model, traffic.revision, traffic_digest(traffic), at]).encode()
