"""URLs in messages and logs, without what may be secret in them: passwords, access keys, signatures."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, unquote

_MASK: Final = "***"
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_QUERY_SECRET: Final = re.compile(
    r"(?:^|[&;])[^=&;]*(?:pass|pwd|secret|sig|token|key|credential)[^=&;]*=([^&;]+)", re.IGNORECASE
)
# Between two URLs of a chain, as `zip://*.csv::s3://bucket/a.zip`.
_LINK: Final = re.compile(r"::(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_HOST: Final = r"(?:\[[^\]]*\]|[^:@,]*)(?::[0-9]*)?"
_AUTHORITY: Final = re.compile(rf"(?:[^@]*@)?{_HOST}(?:,{_HOST})*")

PERCENT_ENCODE: Final = "percent-encode the user, the password and the path: @ as %40, / as %2F, : as %3A, ? as %3F"


def mask_url(url: str) -> str:
    """A URL without user, password and query, nor what could be part of one; a path as it is."""
    return "::".join(map(_mask_one, _LINK.split(url)))


def _mask_one(url: str) -> str:
    scheme, user, place = _split(url)
    if "?" in user:
        return f"{scheme}{_MASK}"
    place, mark, query = place.partition("?")
    # A glob has no value.
    query = _MASK if "=" in query else query
    return "".join((scheme, f"{_MASK}@" if user else "", place, mark, query))


def mask_secrets(text: str, *urls: str) -> str:
    """A library's text, with the secrets masked that are in its URLs.

    Args:
        urls: what the library was given: their secrets are masked outside of URLs too.
    """
    for url in urls:
        text = text.replace(url, mask_url(url))
        for secret in sorted({*_find_secrets(url)}, key=len, reverse=True):
            text = text.replace(secret, _MASK)
    return _URL.sub(lambda found: mask_url(found[0]), text)


def is_ambiguous(url: str) -> bool:
    """Whether a password in a URL may hold one of `/ ? # @ :`, at which some libraries end it.

    They would then take parts of it for a host or a port, ask there, and name them in errors.
    """
    return any(map(_is_ambiguous, url.split("::")))


def _is_ambiguous(url: str) -> bool:
    rest = url.partition("://")[2]
    authority = _authority(rest)
    is_unclear = ":" in authority and "@" not in authority and "@" in rest
    return is_unclear or _AUTHORITY.fullmatch(authority) is None


def _authority(rest: str) -> str:
    return re.split(r"[/?#]", rest, maxsplit=1)[0]


def _split(url: str) -> tuple[str, str, str]:
    """Scheme, user with password, and the rest. All up to the last `@` may be a password."""
    scheme, separator, rest = url.partition("://")
    if not {":", "@"} & {*_authority(rest)}:
        return scheme + separator, "", rest
    user, _, place = rest.rpartition("@")
    return scheme + separator, user, place


def _find_secrets(url: str) -> Iterator[str]:
    """Each as it stands there, decoded and encoded."""
    for one in _LINK.split(url):
        scheme, user, _ = _split(one)
        _, colon, password = user.partition(":")
        # Without a password the user may be an access token of HTTP.
        given = (user, password) if colon else (user,) if scheme.lower().startswith("http") else ()
        for secret in filter(None, (*given, *_QUERY_SECRET.findall(one.partition("?")[2]))):
            yield from (secret, unquote(secret), quote(unquote(secret), safe=""), quote(secret, safe=""))
