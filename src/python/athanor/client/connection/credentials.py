"""Credentials of a client: TLS certificates and tokens."""

import os
import re
import ssl
from pathlib import Path
from typing import Final, NoReturn

import grpc

from athanor.client.connection.local_services import choose_service
from athanor.errors import SettingsError
from athanor.home import Home, local_token_path

TOKEN_VARIABLE: Final = "ATHANOR_TOKEN"  # noqa: S105 - the variable's name

# Visible ASCII, as a header may hold. gRPC's own error would repeat the token.
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")


def read_certificates(ca: Path | None, certificate: Path | None, key: Path | None) -> grpc.ChannelCredentials:
    """TLS credentials from PEM files.

    Args:
        ca: certificates of the trusted authorities; gRPC's own by default.
        certificate: certificate chain of the client, for mutual TLS.
        key: private key of the certificate, not encrypted.

    Raises:
        SettingsError: a file cannot be read or is not PEM, or the key is not the certificate's.
    """
    if (certificate is None) is not (key is None):
        raise SettingsError("give both certificate and key, or neither")
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
        raise SettingsError(f"TLS cannot use {named}: {error}; give PEM files, the key of the certificate") from None


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _refuse_password() -> NoReturn:
    raise SettingsError("the key is encrypted; give an unencrypted one that only its owner can read")


def check_token(token: str, origin: str) -> str:
    """Raises SettingsError, without the text, if it cannot be a token."""
    if _TOKEN.fullmatch(token) is None:
        raise SettingsError(f"{origin} is not a valid token; give visible ASCII characters without spaces")
    return token


def find_local_token(model: str, port: int, home: Path | None) -> str | None:
    """Token that the service of a model left in its home on this machine; None if there is none.

    Args:
        port: of this machine, which the client calls: several services may serve the model.

    Raises:
        SettingsError: the token cannot be read.
    """
    folder = Home.find(home).service
    path = local_token_path(folder, choose_service(folder, model, port))
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SettingsError(f"the service's token in {path} cannot be read: {reason}") from None
    return check_token(text, str(path))


def token_of_environment() -> str | None:
    """Token of the environment variable ATHANOR_TOKEN; None if it is unset or empty."""
    token = os.environ.get(TOKEN_VARIABLE)
    return check_token(token, TOKEN_VARIABLE) if token else None
