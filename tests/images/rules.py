"""What the files in docker/ must keep, each rule as the sentences that tell what breaks it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from athanor.serving.telemetry import metric_families

_KINDS: Final = {
    **{family.name: ("",) for family in (*metric_families.COUNTERS, *metric_families.GAUGES)},
    **{family.name: ("_bucket", "_sum", "_count") for family in metric_families.HISTOGRAMS},
}
# What runs these needs releases and tokens; commands of the registry are for its operator alone.
_OF_THE_HOME: Final = ("node", "deploy", "token")
SERIES: Final = frozenset(name + suffix for name, suffixes in _KINDS.items() for suffix in suffixes)
"""The names of all series that a service has."""


def image_problems(dockerfile: str) -> Iterator[str]:
    """A sentence for each problem of an image built by these instructions."""
    users = re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)
    if not users or users[-1].split(":")[0] in ("root", "0"):
        yield "it runs as root"
    if not re.search(r"^HEALTHCHECK .*CMD", dockerfile, re.MULTILINE):
        yield "it has no health check"
    for base in re.findall(r"^ARG BASE=(\S+)", dockerfile, re.MULTILINE) or [""]:
        if not is_pinned(base):
            yield f"its base {base!r} is not pinned by digest"
    if re.search(r"<<-?['\"]?[A-Z]+", dockerfile):
        yield "it has a here-document, which podman 4.3 and dockerd 20.10 do not know"


def is_pinned(image: str) -> bool:
    """Whether it is an image of one digest."""
    return re.search(r"@sha256:[0-9a-f]{64}$", image) is not None


def compose_problems(compose: Mapping[str, Any], commands: frozenset[str]) -> Iterator[str]:
    """A sentence for each service that would not start, or would change by itself; `commands` are our binaries'."""
    services = compose["services"]
    for name, service in services.items():
        if service["image"].startswith("athanor-"):
            yield from _of_ours(name, service, commands)
        elif not is_pinned(service["image"]):
            yield f"the image {service['image']!r} of {name} is not pinned by digest"
        yield from (f"{name} waits for {other}, which is no service" for other in _others(service) - set(services))
    ports = sorted(port for service in services.values() for port in service.get("ports", ()))
    yield from (
        f"{name} may read the whole home, with its tokens"
        for name, service in services.items()
        if service.get("command", [""])[0] not in _OF_THE_HOME
        and "manage" not in service.get("profiles", ())
        and any(volume.startswith("home:") for volume in service.get("volumes", ()))
    )
    yield from (f"{port} is open to other machines" for port in ports if not port.startswith("127.0.0.1:"))
    if len(set(ports)) != len(ports):
        yield f"two services have one port: {ports}"


def _of_ours(name: str, service: Mapping[str, Any], commands: frozenset[str]) -> Iterator[str]:
    if not service.get("read_only"):
        yield f"{name} may write to its root"
    if service["command"][0] not in commands:
        yield f"{name} runs {service['command'][0]!r}, which is no command"
    if service["command"][0] == "deploy" and {service.get("network_mode"), service.get("pid")} != {"service:head"}:
        # Ray looks for a node at the addresses and among the processes of the deploying machine.
        yield f"{name} is not beside the head"


def _others(service: Mapping[str, Any]) -> set[str]:
    return set(service.get("depends_on", ()))


def dashboard_problems(dashboard: Mapping[str, Any], sources: frozenset[str]) -> Iterator[str]:
    """What a dashboard would show nothing for; `sources` are the identities of data sources."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            if target["datasource"]["uid"] not in sources:
                yield f"{panel['title']}: no data source {target['datasource']['uid']!r}"
            named = set(re.findall(r"\bathanor_\w+", target["expr"]))
            if not named or not named <= SERIES:
                yield f"{panel['title']}: no series {sorted(named - SERIES)}"
