"""Records of a model in the registry: its versions, and each move among the releases that answer."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from athanor.errors import ServiceError
from athanor.release.ledger import Assigned, Ledger
from athanor.release.traffic import PINNED, Role, Traffic

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
SHADOW: Final = "shadow"
_DIGEST_TAG: Final = "digest"
_VERSION_TAG: Final = "semantic_version"
_CLEAN_TAG: Final = "is_clean"
_BY_TAG: Final = "by"
# An alias stands for one version, and several are pinned.
PINNED_TAG: Final = PINNED
_MOVE_TAG: Final = r"move\.\d{6,}"
_SEMANTIC_VERSION: Final = r"\d+\.\d+\.\d+"
RESTORE: Final = "restore the ledger in the release store from a backup"

Kind: TypeAlias = Literal["promote", "rollback", "challenge", "shadow", "withdraw", "pin", "unpin"]
ENDS: Final[tuple[Kind, ...]] = ("withdraw", "unpin")


@dataclass(frozen=True)
class Registered:
    """One registered version of a model.

    Attributes:
        number: MLflow's, from 1.
        aliases: any of `champion`, `challenger` and `shadow`; and `pinned`, which is a tag in MLflow.
        is_clean: whether it was trained without uncommitted changes.
        run: id of the MLflow run of its training.
        by: name of the user who registered it.
        at: ISO 8601, UTC.
        weight: share of the keys that it answers, from 0 to 1, after the last move; None if it takes no traffic.
    """

    model: str
    number: int
    semantic_version: str
    digest: str
    aliases: tuple[str, ...]
    is_clean: bool
    run: str
    by: str
    at: str
    weight: float | None = None

    @property
    def order(self) -> tuple[int, ...]:
        """Sort key: the order of registration."""
        return tuple(map(int, self.semantic_version.split(".")))


@dataclass(frozen=True)
class Move:
    """One change of the traffic. Moves are only ever added.

    Attributes:
        revision: from 1; the revision of the traffic file that it published.
        from_version, from_digest: of the release that had the role before; None if there was none, and for a pin.
        semantic_version, digest: of the release that took the role, or was withdrawn or unpinned.
        by: name of the user who made it.
        at: ISO 8601, UTC.
        why: the given reason.
        gates: summary of the gates of the release: "5 of 5 passed"; "" for the end of a role.
        variant: the role that changed. A new champion loses its earlier role; withdrawing the champion ends all roles.
        traffic: the whole traffic after the move.
        previous: sha256, in hexadecimal, of the record before it; "" for the first. None in records from before there
            was a chain, which stand before all others.
    """

    revision: int
    kind: Kind
    from_version: str | None
    from_digest: str | None
    semantic_version: str
    digest: str
    by: str
    at: str
    why: str
    gates: str
    variant: Role
    traffic: Traffic
    previous: str | None = None

    @property
    def ends_role(self) -> bool:
        """Whether the release lost the role, and no other took it."""
        return self.kind in ENDS

    @property
    def tag(self) -> tuple[str, str]:
        """Name and value of the MLflow tag that stores the move. Names sort like revisions."""
        record = {**asdict(self), "traffic": self.traffic.document()}
        return f"move.{self.revision:06d}", json.dumps(record)


def read_moves(model: str, records: Mapping[str, str]) -> list[Move]:
    """Moves by their records, oldest first.

    Raises:
        ServiceError: a record is damaged, or was changed, added or removed later: the chain breaks there.
    """
    moves: list[Move] = []
    last = ""
    for name, content in sorted(records.items()):
        move = read_move(model, name, content)
        is_chained = move.previous is not None or bool(moves and moves[-1].previous is not None)
        if is_chained and move.previous != last:
            raise ServiceError(
                f"{name} of {model} does not follow from the record before it: it names digest {move.previous}, and "
                f"that record has {last or 'none'}. A record was changed, added or removed; {RESTORE}"
            )
        moves.append(move)
        last = digest_record(content)
    return moves


def digest_record(content: str) -> str:
    """sha256 of the record of a move, in hexadecimal: the next one holds it."""
    return hashlib.sha256(content.encode()).hexdigest()


def list_records(model: RegisteredModel) -> dict[str, str]:
    """The record of each move as MLflow has it, by the name of its tag, oldest first."""
    return {name: model.tags[name] for name in sorted(model.tags) if re.fullmatch(_MOVE_TAG, name)}


def read_move(model: str, name: str, content: str) -> Move:
    """Reads the record of a move. Raises ServiceError if it is damaged."""
    try:
        record = json.loads(content)
        # Records from before there were challengers name the champion alone.
        champion = {part: record[part] for part in ("digest", "semantic_version")}
        alone = {"model": model, "revision": record["revision"], "champion": champion}
        traffic = Traffic.model_validate(record.get("traffic", alone))
        return Move(**{"variant": CHAMPION, **record, "traffic": traffic})
    except (ValueError, TypeError, KeyError) as error:
        raise ServiceError(f"{name} of {model} is not a record of a move: {error}; {RESTORE}") from None


def read_version(
    version: ModelVersion, aliases: Mapping[str, int], ledger: Ledger | None, traffic: Traffic | None = None
) -> Registered | None:
    """Converts a version of MLflow's; None if it was created outside of the registry.

    The digest comes from its source, which MLflow cannot change, and its number from the ledger. Tags count only for
    versions from before there was a ledger.

    Args:
        aliases: the aliases of its model, and the version number of each.
        ledger: None if the model has none.
        traffic: after the last move.
    """
    tags = version.tags
    model, digest = read_source(version) or ("", "")
    assigned = ledger.find(digest) if ledger else None
    tagged = "" if ledger else tags.get(_VERSION_TAG, "")
    semantic_version = assigned.semantic_version if assigned else tagged
    if model != version.name or not re.fullmatch(_SEMANTIC_VERSION, semantic_version):
        return None
    at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    roles = [role for role, one in traffic.releases if one.digest == digest] if traffic else []
    named = {alias for alias, number in aliases.items() if number == int(version.version)} - {PINNED}
    return Registered(
        model=version.name,
        number=int(version.version),
        semantic_version=semantic_version,
        digest=digest,
        aliases=(*sorted(named), *([PINNED] if tags.get(PINNED_TAG) == PINNED else [])),
        is_clean=tags.get(_CLEAN_TAG) == "true",
        run=version.run_id or "",
        by=assigned.by if assigned else tags.get(_BY_TAG, ""),
        at=at,
        weight=traffic.weight_of(roles[0]) if traffic and roles else None,
    )


def version_tags(assigned: Assigned, *, is_clean: bool) -> dict[str, str]:
    """The tags of a version in MLflow."""
    return {
        _DIGEST_TAG: assigned.digest,
        _VERSION_TAG: assigned.semantic_version,
        _CLEAN_TAG: "true" if is_clean else "false",
        _BY_TAG: assigned.by,
    }


def make_source(model: str, digest: str) -> str:
    """The source of a version in MLflow."""
    return f"athanor:/{model}/{digest}"


def read_source(version: ModelVersion) -> tuple[str, str] | None:
    """Model and digest of the release that a version of MLflow's stands for; None if it stands for no release."""
    found = re.fullmatch(r"athanor:/([^/]+)/([0-9a-f]{64})", version.source or "")
    return (found[1], found[2]) if found else None


def now() -> str:
    """The current time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def champion_before(moves: Iterable[Move]) -> Move | None:
    """The move to roll back to. Consecutive rollbacks go back through the promotions, one at a time.

    After a withdrawal, it is the one that made the withdrawn champion.
    """
    stack: list[Move] = []
    is_withdrawn = False
    for move in moves:
        if move.kind == "promote":
            # The withdrawn champion may be promoted again.
            stack = [*(stack[:-1] if stack and stack[-1].digest == move.digest else stack), move]
        elif move.kind == "rollback" and not is_withdrawn:
            # A history that lost its beginning goes back as far as it can.
            stack = stack[:-1]
        is_withdrawn = move.traffic.champion is None
    earlier = stack if is_withdrawn else stack[:-1]
    return earlier[-1] if earlier else None
