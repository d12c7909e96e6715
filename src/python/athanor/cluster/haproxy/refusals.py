"""What HAProxy refuses with, as the service does: problem details on REST, a status and a message on gRPC."""

import json
from typing import Final, NamedTuple

# gRPC has the same limit.
HEAD_BYTES: Final = 8 * 1024


class Refusal(NamedTuple):
    """A refusal: HTTP status, our code, gRPC status, and words without quotes or percent signs."""

    http: int
    code: str
    grpc: int
    words: str


MALFORMED: Final = Refusal(400, "INVALID_REQUEST", 3, "the request is not valid HTTP, or broke off")
HIDDEN: Final = Refusal(404, "NOT_FOUND", 12, "nothing is served here")
LATE: Final = Refusal(408, "DEADLINE_EXCEEDED", 4, "the request did not arrive in time; it paused for too long")
CROWDED_OUT: Final = Refusal(
    429, "OVERLOADED", 8, "too many connections from this address, or from all; use fewer, or retry in a second"
)
LARGE_HEAD: Final = Refusal(
    431, "TOO_LARGE", 8, f"the address or the headers have more than {HEAD_BYTES} bytes; send less"
)
NO_TEXT: Final = Refusal(
    400, "INVALID_REQUEST", 3, "metadata must be printable ASCII; send other bytes by a name that ends in -bin"
)
FAILED: Final = Refusal(500, "SERVICE_FAILED", 13, "the service failed; its log has the cause")
ENDED: Final = Refusal(502, "UNAVAILABLE", 14, "the replica ended before it answered; retry")
UNAVAILABLE: Final = Refusal(503, "UNAVAILABLE", 14, "no replica answers now; retry")
NO_ANSWER: Final = Refusal(504, "DEADLINE_EXCEEDED", 4, "no replica answered in time")
# By the status that HAProxy itself refuses with.
BY_STATUS: Final = (MALFORMED, HIDDEN, LATE, CROWDED_OUT, FAILED, ENDED, UNAVAILABLE, NO_ANSWER)


def problem(refusal: Refusal) -> str:
    """A reply with problem details, as `serving.formats.problems` makes them."""
    details = json.dumps(describe(refusal), separators=(",", ":"))
    retry = " hdr retry-after 1" if refusal.http in (429, 503) else ""
    return f"content-type application/problem+json string '{details}'{retry}"


def describe(refusal: Refusal) -> dict[str, object]:
    """The problem details of a refusal."""
    return {
        "type": f"urn:athanor:error:{refusal.code}",
        "title": refusal.code.replace("_", " ").capitalize(),
        "status": refusal.http,
        "detail": refusal.words,
        "error": refusal.words,
        "code": refusal.code,
    }


def grpc_reply(refusal: Refusal) -> str:
    """A reply without a message, whose headers are gRPC's trailers."""
    return f"hdr content-type application/grpc hdr grpc-status {refusal.grpc} hdr grpc-message '{refusal.words}'"
