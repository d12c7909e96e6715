"""What the registry remembers of a model: its versions, and each move of its champion."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias

from mlflow.entities.model_registry import ModelVersion, RegisteredModel

CHAMPION: Final = "champion"
DIGEST_TAG: Final = "digest"
VERSION_TAG: Final = "semantic_version"
CLEAN_TAG: Final = "is_clean"
BY_TAG: Final = "by"
_MOVE_TAG: Final = "move."

Kind: TypeAlias = Literal["promote", "rollback"]


@dataclass(frozen=True)
class Registered:
    """One registered version of a model.

    Attributes:
        number: as MLflow counts, from 1.
        aliases: `champion` or none.
        is_clean: whether all that it was trained with was committed.
        run: id of the record of its training.
        by: user name of who registered it.
        at: ISO 8601, UTC.
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


@dataclass(frozen=True)
class Move:
    """One change of the champion. Moves are only ever added.

    Attributes:
        revision: from 1; that of the traffic file it published.
        from_version, from_digest: of the champion before; None for the first.
        semantic_version, digest: of the release that became champion.
        by: user name of who did it.
        at: ISO 8601, UTC.
        why: the reason that was given.
        gates: what the gates said of the release in its training: "5 of 5 passed".
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

    @property
    def tag(self) -> tuple[str, str]:
        """Name and value of the tag that holds it. Names sort as revisions do."""
        return f"{_MOVE_TAG}{self.revision:06d}", json.dumps(asdict(self))


def read_moves(model: RegisteredModel | None) -> list[Move]:
    """All moves, oldest first; none of a model that is not there."""
    tags = dict(model.tags) if model else {}
    return [Move(**json.loads(tags[name])) for name in sorted(tags) if name.startswith(_MOVE_TAG)]


def read_version(version: ModelVersion, aliases: Mapping[str, int]) -> Registered:
    """A version as MLflow has it. Aliases are those of its model, with the version that each names."""
    at = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    tags = version.tags
    return Registered(
        model=version.name,
        number=int(version.version),
        semantic_version=tags[VERSION_TAG],
        digest=tags[DIGEST_TAG],
        aliases=tuple(sorted(alias for alias, number in aliases.items() if number == int(version.version))),
        is_clean=tags[CLEAN_TAG] == "true",
        run=version.run_id or "",
        by=tags[BY_TAG],
        at=at,
    )


def now() -> str:
    """ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def champion_before(moves: Sequence[Move]) -> Move | None:
    """The move to undo to. Each rollback goes one further back, through promotions only."""
    stack: list[Move] = []
    for move in moves:
        if move.kind == "rollback":
            stack.pop()
        else:
            stack.append(move)
    return stack[-2] if len(stack) > 1 else None
