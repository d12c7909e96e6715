"""Traffic after each kind of move. Pure functions: nothing here reads or writes.

A release is one variant at a time: champion, challenger or shadow. It may be pinned beside that. Traffic that needs no
change is returned unchanged, and there is no move.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from athanor.errors import AthanorError, InputError, NotFoundError
from athanor.registry.history import CHALLENGER, CHAMPION, SHADOW, Kind, Move
from athanor.release.traffic import MOST_PINNED, PINNED, VARIANTS, Challenger, Role, Served, Traffic, Variant

_NOTHING: Final[Mapping[Role, tuple[Served, ...] | None]] = {**dict.fromkeys(VARIANTS), PINNED: ()}


@dataclass(frozen=True)
class Step:
    """A requested change of the traffic.

    Attributes:
        variant: the role that changes.
        served: the release that takes the role, or loses it.
        weight: of a challenger.
    """

    kind: Kind
    variant: Role
    served: Served
    weight: float = 0.0


def take(before: Traffic | None, model: str, step: Step) -> Traffic:
    """The traffic after a step.

    Args:
        before: None before the first promotion.

    Raises:
        NotFoundError: there is no champion, and the step makes none; or the release to unpin is not pinned.
        InputError: the weight is out of range, or the release is another variant; or it is pinned already, or too many
            others are.
    """
    if step.variant == CHAMPION and step.kind != "withdraw":
        return _make_champion(before, model, step.served)
    if before is None or before.champion is None:
        raise NotFoundError(
            f"{model} has no champion, so that {step.served.semantic_version} cannot be {step.variant}; promote a "
            "version first"
        )
    if step.variant == PINNED:
        return _pin(before, step)
    if step.kind == "withdraw":
        # Without a champion, nothing answers.
        return _change(before, _NOTHING if step.variant == CHAMPION else {step.variant: None})
    _require_no_other_role(before, step)
    if step.variant == SHADOW:
        return _change(before, {SHADOW: step.served})
    _check_weight(model, step.weight)
    return _change(before, {CHALLENGER: Challenger(**step.served.model_dump(), weight=step.weight)})


def follows(before: Traffic | None, move: Move) -> bool:
    """Whether the recorded traffic of a move follows from the traffic before it."""
    served = Served(digest=move.digest, semantic_version=move.semantic_version)
    step = Step(move.kind, move.variant, served, move.traffic.weights.get(CHALLENGER, 0.0))
    try:
        return take(before, move.traffic.model, step) == move.traffic
    except AthanorError:
        return False


def withdrawable(model: str, variant: str) -> Variant:
    """Checks that a variant can be withdrawn, and returns it. Raises InputError if not."""
    for known in VARIANTS:
        if variant == known:
            return known
    raise InputError(f"{variant!r} of {model} cannot be withdrawn; give {CHAMPION}, {CHALLENGER} or {SHADOW}")


def _make_champion(before: Traffic | None, model: str, served: Served) -> Traffic:
    """Ends another role of the release, but a pin: it cannot be compared with itself."""
    if before is None:
        return Traffic(model=model, revision=1, champion=served)
    over: dict[Role, None] = {role: None for role, other in before.served.items() if other.digest == served.digest}
    return _change(before, {**over, CHAMPION: served})


def _pin(before: Traffic, step: Step) -> Traffic:
    version, model = step.served.semantic_version, before.model
    others = tuple(served for served in before.pinned if served.digest != step.served.digest)
    is_pinned = len(others) < len(before.pinned)
    if step.kind == "unpin":
        if not is_pinned:
            raise NotFoundError(f"{version} of {model} is not pinned; see `athanor registry traffic {model}`")
        return _change(before, {PINNED: others})
    if is_pinned:
        raise InputError(f"{version} of {model} is pinned already")
    if len(others) >= MOST_PINNED:
        raise InputError(
            f"{model} has {len(others)} pinned versions, which every replica keeps in memory, and {MOST_PINNED} is the "
            f"most; unpin one before you pin {version}"
        )
    return _change(before, {PINNED: tuple(sorted((*others, step.served), key=_order))})


def _order(served: Served) -> tuple[int, ...]:
    return tuple(map(int, served.semantic_version.split(".")))


def find_replaced(before: Traffic | None, kind: Kind, role: Role, digest: str) -> Served | None:
    """The release that a move takes a role from; None if the role was free."""
    if before is None or kind == "pin":
        return None
    if role == PINNED:
        return next((served for served in before.pinned if served.digest == digest), None)
    return before.served.get(role)


def _change(before: Traffic, parts: Mapping[Role, Served | tuple[Served, ...] | None]) -> Traffic:
    after = before.model_copy(update={str(part): served for part, served in parts.items()})
    return before if after == before else after.model_copy(update={"revision": before.revision + 1})


def _check_weight(model: str, weight: float) -> None:
    if not 0 < weight < 1:
        raise InputError(
            f"{weight} is not a valid weight for a challenger of {model}; give the share of the keys that it answers, "
            "above 0 and below 1: 0.1 is one key in ten"
        )


def _require_no_other_role(before: Traffic, step: Step) -> None:
    for variant, other in before.served.items():
        if variant != step.variant and other.digest == step.served.digest:
            first = "promote another version" if variant == CHAMPION else f"withdraw the {variant}"
            raise InputError(
                f"{other.semantic_version} of {before.model} is {variant}, and cannot be {step.variant} too; "
                f"{first} first"
            )
