"""What the registry remembers of a model: its versions, and each move of champion, challenger and shadow."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from athanor.errors import ServiceError
from athanor.release.traffic import Traffic, Variant

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
SHADOW: Final = "shadow"
DIGEST_TAG: Final = "digest"
VERSION_TAG: Final = "semantic_version"
CLEAN_TAG: Final = "is_clean"
BY_TAG: Final = "by"
_MOVE_TAG: Final = "move."

Kind: TypeAlias = Literal["promote", "rollback", "challenge", "shadow", "withdraw"]


@dataclass(frozen=True)
class Registered:
    """One registered version of a model.

    Attributes:
        number: as MLflow counts, from 1.
        aliases: `champion`, `challenger`, `shadow` or none.
        is_clean: whether all that it was trained with was committed.
        run: id of the record of its training.
        by: user name of who registered it.
        at: ISO 8601, UTC.
        weight: share of the keys that it answers for, 0 to 1, by the last move; None where it takes no part.
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


@dataclass(frozen=True)
class Move:
    """One change of the traffic. Moves are only ever added.

    Attributes:
        revision: from 1; that of the traffic file it published.
        from_version, from_digest: of the release that was this variant before; None where there was none.
        semantic_version, digest: of the release that became this variant, or was withdrawn.
        by: user name of who did it.
        at: ISO 8601, UTC.
        why: the reason that was given.
        gates: what the gates said of the release in its training: "5 of 5 passed"; "" where it was withdrawn.
        variant: what changed; a champion that was challenger or shadow before is that no more.
        traffic: all of it after the move.
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
    variant: Variant
    traffic: Traffic

    @property
    def tag(self) -> tuple[str, str]:
        """Name and value of the tag that holds it. Names sort as revisions do."""
        record = {**asdict(self), "traffic": self.traffic.model_dump(mode="json")}
        return f"{_MOVE_TAG}{self.revision:06d}", json.dumps(record)


def read_moves(model: RegisteredModel | None) -> list[Move]:
    """All moves, oldest first; none of a model that is not there.

    Raises:
        ServiceError: a record is none that was ever written.
    """
    tags = dict(model.tags) if model else {}
    return [_read_move(model.name, name, tags[name]) for name in sorted(tags) if model and name.startswith(_MOVE_TAG)]


def _read_move(model: str, name: str, content: str) -> Move:
    try:
        record = json.loads(content)
        # Before there were challengers, a record named the champion, and there was nothing else.
        champion = {part: record[part] for part in ("digest", "semantic_version")}
        alone = {"model": model, "revision": record["revision"], "champion": champion}
        traffic = Traffic.model_validate(record.get("traffic", alone))
        return Move(**{"variant": CHAMPION, **record, "traffic": traffic})
    except (ValueError, TypeError, KeyError) as error:
        raise ServiceError(
            f"{name} of {model} is no record of a move, and history is never rewritten: {error}. Restore the "
            "registry's database from a copy"
        ) from None


def read_version(version: ModelVersion, aliases: Mapping[str, int], traffic: Traffic | None = None) -> Registered:
    """A version as MLflow has it.

    Args:
        aliases: those of its model, with the version that each names.
        traffic: after the last move.
    """
    at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    tags = version.tags
    digest = tags[DIGEST_TAG]
    parts = [variant for variant, served in traffic.served.items() if served.digest == digest] if traffic else []
    return Registered(
        model=version.name,
        number=int(version.version),
        semantic_version=tags[VERSION_TAG],
        digest=digest,
        aliases=tuple(sorted(alias for alias, number in aliases.items() if number == int(version.version))),
        is_clean=tags[CLEAN_TAG] == "true",
        run=version.run_id or "",
        by=tags[BY_TAG],
        at=at,
        weight=traffic.weights[parts[0]] if traffic and parts else None,
    )


def now() -> str:
    """ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def champion_before(moves: Iterable[Move]) -> Move | None:
    """The move to undo to. Each rollback goes one further back, through promotions only."""
    stack: list[Move] = []
    for move in moves:
        if move.kind == "rollback":
            stack.pop()
        elif move.kind == "promote":
            stack.append(move)
    return stack[-2] if len(stack) > 1 else None
