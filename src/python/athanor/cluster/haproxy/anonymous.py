"""Refuses requests without a token at the doors, as a replica would.

A replica refuses them one by one, on the loop that answers others: 8,000 calls of a stranger took the others' p99 to
half a second and more. The replica remains the one that decides: what is not refused here, it refuses itself.
"""

import base64
import json
from typing import Final

from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from athanor.cluster.haproxy.refusals import Refusal, describe, grpc_reply
from athanor.error_codes import DOMAIN
from athanor.errors import UnauthenticatedError

IS_ID: Final = "-m reg '^[!-~]{1,128}$'"
"""What a header's value must be to be a request's id."""

# Paths below which all needs a token. Pages do not, and others are not found.
_CLOSED: Final = "/v1/ /v2/models /v2/repository /metrics /openapi.json"
_GRPC_OPEN: Final = (
    "/grpc.health.v1.Health/ /inference.GRPCInferenceService/ServerLive /inference.GRPCInferenceService/ServerReady"
    " /ray.serve."
)
# HAProxy cuts a caller that goes on sending after its answer; a replica reads on for a while.
_MOST_UNREAD_BYTES: Final = 16 * 1024
# In the words of `serving.access.authentication`.
NO_TOKEN: Final = Refusal(
    401,
    UnauthenticatedError.code,
    16,
    "no token was sent; send a token of this service as `authorization: Bearer <token>`",
)
_IS_ANONYMOUS: Final = "!{ req.fhdr(authorization) -m found }"


def http_rules() -> tuple[str, ...]:
    """Rules of the REST door. A refusal has the request's id, as each answer has."""
    is_refused = f"is_closed {_IS_ANONYMOUS} !is_large"
    given = "req.fhdr(x-request-id,1)"
    return (
        f"    acl is_closed path -m beg {_CLOSED}",
        "    acl is_closed path /v2",
        f"    acl is_large req.hdr_val(content-length) gt {_MOST_UNREAD_BYTES}",
        "    acl is_large req.hdr(transfer-encoding) -m found",
        f"    http-request set-var(txn.id) uuid,regsub(-,,g) if {is_refused}",
        f"    http-request set-var(txn.id) {given} if {is_refused} {{ {given} {IS_ID} }}",
        # Clients of the Open Inference Protocol read JSON alone.
        f"    http-request deny status 401 {_problem('application/json')} if {is_refused} {{ path -m beg /v2 }}",
        f"    http-request deny status 401 {_problem('application/problem+json')} if {is_refused}",
    )


def grpc_rules() -> tuple[str, ...]:
    """Rules of the gRPC door."""
    reply = f"{grpc_reply(NO_TOKEN)} hdr grpc-status-details-bin {_details()}"
    return (f"    http-request deny status 200 {reply} if {_IS_ANONYMOUS} !{{ path -m beg {_GRPC_OPEN} }}",)


def _problem(media_type: str) -> str:
    body = json.dumps({**describe(NO_TOKEN), "request_id": "ID"}).replace('"ID"', '"%[var(txn.id),json(utf8s)]"')
    return f"content-type {media_type} lf-string '{body}' hdr www-authenticate Bearer hdr x-request-id %[var(txn.id)]"


def _details() -> str:
    """What a replica says for machines, as gRPC's metadata has it."""
    reason = any_pb2.Any()
    reason.Pack(error_details_pb2.ErrorInfo(reason=NO_TOKEN.code, domain=DOMAIN))
    status = status_pb2.Status(code=NO_TOKEN.grpc, message=NO_TOKEN.words, details=[reason])
    return base64.b64encode(status.SerializeToString()).decode().rstrip("=")
