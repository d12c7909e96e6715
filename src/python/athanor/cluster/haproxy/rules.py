"""What HAProxy does beyond Ray's configuration: bounds on connections and time, and refusals in our words.

`serve_haproxy` adds these lines to what Ray writes, each time that HAProxy starts. They are for HAProxy 2.8, whose
configuration is its public API.

- A connection ends when its head is late, when a body or a reader stalls, and when it is idle.
- An address may hold a number of connections, and a door a larger one. A connection beyond either is *crowded*: it gets
  one answer, about health, or a refusal, and is closed. So a probe is answered while a stranger holds all connections
  that its address may. An address may open a few crowded connections a second; more are closed at once.
- What HAProxy refuses, it refuses as the service does: problem details on REST, a status and a message on gRPC.
- A request without a token is refused before a replica sees it, where all that is served there needs one: strangers
  would take turns of the loop that answers others. The replica remains the one that decides who may do what.
- Headers that Ray Serve would obey, or could not decode, do not reach it.
- A replica that does not answer three checks in a row is hung, and HAProxy sends its requests to another.
  New requests go to the replica with the fewest. A draining replica answers, and so is alive: Serve removes it.
"""

from dataclasses import dataclass, replace
from typing import Final

from athanor.cluster.haproxy import anonymous
from athanor.cluster.haproxy.refusals import (
    BY_STATUS,
    HEAD_BYTES,
    LARGE_HEAD,
    NO_TEXT,
    UNAVAILABLE,
    grpc_reply,
    problem,
)
from athanor.cluster.haproxy.serve_haproxy import Rules
from athanor.errors import SettingsError


@dataclass(frozen=True)
class DoorLimits:
    """Bounds of each door.

    Attributes:
        connections: at once, of all addresses.
        connections_per_address: at once, of one IPv4 address or one /64 of IPv6.
        answer_s: longest time until an answer, as replicas have it.
        head_s: until a connection's first request, and each request's head, is complete.
        stall_s: without a byte from a caller that sends a body, or to a caller that does not read.
        idle_s, grpc_idle_s: without a request, after one.
        grace_s: beyond `answer_s`: a replica counts the time from when it reads the request, and refuses itself.
        check_s: until a replica answers a check.
        requires_token: whether a request without any token can be refused here.
    """

    connections: int = 4096
    connections_per_address: int = 1024
    answer_s: float = 30.0
    head_s: float = 10.0
    stall_s: float = 30.0
    idle_s: float = 60.0
    # gRPC clients reconnect by themselves, at the cost of a round trip.
    grpc_idle_s: float = 300.0
    # A replica whose event loop is busy answers checks late, and must not be taken for one that hangs.
    check_s: float = 4.0
    grace_s: float = 5.0
    requires_token: bool = False


# Crowded connections of a door, and how many an address may open in a second.
_CROWDED: Final = 512
_CROWDED_A_SECOND: Final = 10
# Connections of Ray itself: to the statistics, the metrics and the administrator's socket.
_INNER_CONNECTIONS: Final = 64
_FEWEST_CONNECTIONS: Final = 64
_PIPES: Final = 32
# Files beside connections: pipes, listeners, checks, pollers.
_OTHER_FILES: Final = 256

# HAProxy refuses a head that is too large in words only if a buffer holds it.
_BUFFER_BYTES: Final = 64 * 1024
_IS_LARGE: Final = f"{{ req.hdrs,length gt {HEAD_BYTES} }} || {{ url,length gt {HEAD_BYTES} }}"
_HEADERS: Final = 1024
# Seconds for which a replica's machine may leave sent data unacknowledged.
_SILENCE_S: Final = 2
_WATCH: Final = "24h"

_HEALTH: Final = "/livez /readyz /v2/health/live /v2/health/ready /-/healthz"
_GRPC_HEALTH: Final = (
    "/grpc.health.v1.Health/Check /inference.GRPCInferenceService/ServerLive"
    " /inference.GRPCInferenceService/ServerReady"
)

# Headers by which a caller would change how Serve works. It reads some of them with "-" and "_" alike.
_OBEYED: Final = (
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "serve[-_]multiplexed[-_]model[-_]id",
    "x[-_]session[-_]id",
    # The doors speak no other protocol.
    "upgrade",
    "http2-settings",
)

# Statuses of bytes that are not a request: HAProxy has only its own page for them, or no answer.
_OF_NO_REQUEST: Final = (400, 408, 413, 422, 501)


def fit(limits: DoorLimits, most_files: int) -> DoorLimits:
    """Returns limits with fewer connections where a process may not open so many files.

    Raises:
        SettingsError: too few connections would be left.
    """
    fitting = ((most_files - _OTHER_FILES) // 2 - _INNER_CONNECTIONS) // 2 - _CROWDED
    if fitting < _FEWEST_CONNECTIONS:
        raise SettingsError(
            f"a process may open {most_files} files here, too few for HAProxy: it needs "
            f"{count_files(replace(limits, connections=_FEWEST_CONNECTIONS))}, and {count_files(limits)} for "
            f"{limits.connections} connections at each door; raise the hard limit (ulimit -Hn)"
        )
    return replace(limits, connections=min(limits.connections, fitting))


def count_files(limits: DoorLimits) -> int:
    """How many files HAProxy opens at most: two for each connection, one to its caller and one to a replica."""
    return 2 * _count_connections(limits) + _OTHER_FILES


def _count_connections(limits: DoorLimits) -> int:
    return 2 * (limits.connections + _CROWDED) + _INNER_CONNECTIONS


def make_rules(limits: DoorLimits) -> Rules:
    """The rules of a service."""
    return Rules(
        sections={
            "global": (
                f"    maxconn {_count_connections(limits)}",
                f"    tune.bufsize {_BUFFER_BYTES}",
                f"    tune.http.maxhdr {_HEADERS}",
                # HAProxy would keep two files for every fourth connection, to splice large bodies.
                f"    maxpipes {_PIPES}",
            ),
            "defaults": _defaults(limits),
            "defaults http": (
                f"    timeout http-keep-alive {_ms(limits.idle_s)}",
                *(f"    http-error status {refusal.http} {problem(refusal)}" for refusal in BY_STATUS),
            ),
            "defaults grpc": (
                f"    timeout http-keep-alive {_ms(limits.grpc_idle_s)}",
                *(f"    http-error status {refusal.http} {grpc_reply(refusal)}" for refusal in BY_STATUS),
            ),
            "http_frontend": _http_door(limits),
            "grpc_frontend": _grpc_door(limits),
            "http backend": _http_backend(limits),
            "grpc backend": (
                f"    http-request set-timeout server {_WATCH} if {{ path /grpc.health.v1.Health/Watch }}",
            ),
        },
        answers={
            "default_backend": f"    http-request return status 503 {problem(UNAVAILABLE)}",
            "default_grpc_backend": f"    http-request return status 200 {grpc_reply(UNAVAILABLE)}",
        },
        lines={
            # Any answer is a sign of life. A draining replica says 503, and still answers its requests.
            "http-check expect": "    http-check expect rstatus ^(200|503)$",
            "tcp-check expect": f"    tcp-check expect binary {b'application/grpc'.hex()}",
        },
        server=f"tcp-ut {_SILENCE_S}s on-marked-down shutdown-sessions",
    )


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _defaults(limits: DoorLimits) -> tuple[str, ...]:
    return (
        "    option dontlog-normal",
        # An idle connection ends without an answer.
        "    option http-ignore-probes",
        # A machine that loses power leaves its connections open. Its kernel then acknowledges nothing.
        "    option srvtcpka",
        "    srvtcpka-idle 1s",
        "    srvtcpka-intvl 1s",
        f"    srvtcpka-cnt {_SILENCE_S}",
        f"    timeout check {_ms(limits.check_s)}",
        f"    timeout http-request {_ms(limits.head_s)}",
        f"    timeout client {_ms(limits.stall_s)}",
        f"    timeout server {_ms(limits.answer_s + limits.grace_s)}",
    )


def _crowd(limits: DoorLimits) -> tuple[str, ...]:
    """Counts connections by address, and marks those beyond a limit."""
    is_crowded = "{ var(sess.crowded) -m bool }"
    return (
        # Strangers could fill the disk with lines about refusals. They are counted.
        "    no log",
        # Never reached: HAProxy lets callers wait beyond it.
        f"    maxconn {limits.connections + _CROWDED + 1}",
        # A host of IPv6 usually has all addresses of a /64.
        "    stick-table type ipv6 size 100k expire 1m store conn_cur,gpc0_rate(1s)",
        "    tcp-request connection track-sc0 src,ipmask(32,64)",
        f"    tcp-request connection set-var(sess.crowded) bool(true) if {{ sc0_conn_cur gt"
        f" {limits.connections_per_address} }} || {{ fe_conn gt {limits.connections} }}",
        f"    tcp-request connection reject if {is_crowded} {{ sc0_gpc0_rate ge {_CROWDED_A_SECOND} }}",
        f"    tcp-request connection reject if {{ fe_conn gt {limits.connections + _CROWDED} }}",
        f"    tcp-request connection sc-inc-gpc0(0) if {is_crowded}",
        f"    http-after-response set-header connection close if {is_crowded}",
    )


def _http_door(limits: DoorLimits) -> tuple[str, ...]:
    return (
        *_crowd(limits),
        *(f"    errorfile {status} /dev/null" for status in _OF_NO_REQUEST),
        "    http-after-response set-header x-content-type-options nosniff",
        "    http-after-response set-header cache-control no-store",
        "    http-after-response del-header server",
        f"    http-request deny deny_status 429 if {{ var(sess.crowded) -m bool }} !{{ path {_HEALTH} }}",
        f"    http-request deny status 431 {problem(LARGE_HEAD)} if {_IS_LARGE}",
        *(anonymous.http_rules() if limits.requires_token else ()),
        # Serve answers these to all callers, and decodes the path before it compares.
        "    http-request deny deny_status 404 if { path,url_dec -i -m beg /-/ } !{ path -i /-/healthz }",
        "    http-request deny deny_status 404 if !{ path -m beg / }",
        f"    http-request del-header '^({'|'.join(_OBEYED)})$' -m reg",
        # Serve fails at bytes that are not UTF-8. The service creates a missing id.
        "    http-request set-header x-request-id %[req.fhdr(x-request-id,1)] if { req.fhdr_cnt(x-request-id) gt 1 }",
        f"    http-request del-header x-request-id if !{{ req.fhdr(x-request-id) {anonymous.IS_ID} }}",
        # Serve adds a second one to each answer. Ours, which is safe to repeat, comes first.
        "    http-response set-header x-request-id %[res.fhdr(x-request-id,1)] if { res.fhdr_cnt(x-request-id) gt 1 }",
        # Refusals of Serve and of its HTTP server.
        *(
            f"    http-response deny deny_status {refusal.http} if {{ status {refusal.http} }}"
            " { res.hdr(content-type) -m beg text/plain }"
            for refusal in BY_STATUS
        ),
    )


def _grpc_door(limits: DoorLimits) -> tuple[str, ...]:
    return (
        *_crowd(limits),
        # Some clients look at the HTTP status first.
        "    http-after-response set-status 200 if { res.hdr(grpc-status) -m found } !{ status 200 }",
        f"    http-request deny deny_status 429 if {{ var(sess.crowded) -m bool }} !{{ path {_GRPC_HEALTH} }}",
        f"    http-request deny status 200 {grpc_reply(LARGE_HEAD)} if {_IS_LARGE}",
        f"    http-request deny status 200 {grpc_reply(NO_TEXT)} if {{ req.hdrs -m reg '[^ -~\\r\\n]' }}",
        "    http-request deny deny_status 404 if { path -m beg /ray.serve. }"
        " !{ path /ray.serve.RayServeAPIService/Healthz }",
        *(anonymous.grpc_rules() if limits.requires_token else ()),
    )


def _http_backend(limits: DoorLimits) -> tuple[str, ...]:
    """The caller's time-out, rounded up to a second: it ends the wait for a replica that hangs."""
    seconds, most = "req.hdr(x-request-timeout-s)", int(limits.answer_s + limits.grace_s)
    is_shorter = f"{{ {seconds} -m reg '^[0-9]{{1,5}}(\\.[0-9]*)?$' }} {{ {seconds},add(1) lt {most} }}"
    return (f"    http-request set-timeout server {seconds},add(1),mul(1000) if {is_shorter}",)
