"""What a client shows a service, and what it asks to see: certificates and tokens."""

import os
import re
import ssl
from pathlib import Path
from typing import Final, NoReturn

import grpc

from athanor.errors import SettingsError
from athanor.home import Home, local_token_path

TOKEN_VARIABLE: Final = "ATHANOR_TOKEN"  # noqa: S105 - the variable's name

# Visible ASCII: what may stand in a header. gRPC refuses all else with messages that repeat it.
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")


def read_certificates(ca: Path | None, certificate: Path | None, key: Path | None) -> grpc.ChannelCredentials:
    """TLS by PEM files, or by the roots that gRPC brings where none are given.

    Args:
        ca: certificates of those who may vouch for the service.
        certificate: the client's own, with those between it and its root, for services that ask for one.
        key: its private key, not encrypted.

    Raises:
        SettingsError: a file cannot be read, holds something else, or key and certificate do not belong together.
    """
    if (certificate is None) is not (key is None):
        raise SettingsError("a certificate and a key go together; give both or none")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca is not None:
            context.load_verify_locations(ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key, password=_refuse_password)
        return grpc.ssl_channel_credentials(_read(ca), _read(key), _read(certificate))
    except OSError as error:  # ssl.SSLError is one too
        given = {"ca": ca, "certificate": certificate, "key": key}
        named = ", ".join(f"{name} {path}" for name, path in given.items() if path is not None)
        raise SettingsError(f"no TLS with {named}: {error}; give PEM files that belong together") from None


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _refuse_password() -> NoReturn:
    raise SettingsError("the key is encrypted; give one that is not, readable by its owner alone")


def check_token(token: str, origin: str) -> str:
    """Raises SettingsError, which never shows it, if a text cannot be a token."""
    if _TOKEN.fullmatch(token) is None:
        raise SettingsError(f"what {origin} holds is no token; give visible ASCII characters without spaces")
    return token


def find_local_token(project: str, home: Path | None) -> str | None:
    """The token that a service which runs from a home on this machine leaves there for its owner; None if none.

    Raises:
        SettingsError: it is there and cannot be read.
    """
    path = local_token_path(Home.find(home).service, project)
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"the service's token in {path} cannot be read: {reason}") from None
    return check_token(text, str(path))


def token_of_environment() -> str | None:
    """That of ATHANOR_TOKEN; None if it is not set, or empty."""
    token = os.environ.get(TOKEN_VARIABLE)
    return check_token(token, TOKEN_VARIABLE) if token else None
