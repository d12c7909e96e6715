"""Traffic after each kind of move. Pure functions: nothing here reads or writes.

A release has one role at a time: champion, challenger or shadow. Traffic that needs no change is returned unchanged,
and there is no move.
"""

from dataclasses import dataclass

from athanor.errors import AthanorError, InputError, NotFoundError
from athanor.registry.history import CHALLENGER, CHAMPION, SHADOW, Kind, Move
from athanor.release.traffic import Challenger, Served, Traffic, Variant


@dataclass(frozen=True)
class Step:
    """A requested change of the traffic.

    Attributes:
        variant: the role that changes.
        served: the release that takes the role, or is withdrawn.
        weight: of a challenger.
    """

    kind: Kind
    variant: Variant
    served: Served
    weight: float = 0.0


def take(before: Traffic | None, model: str, step: Step) -> Traffic:
    """The traffic after a step.

    Args:
        before: None before the first promotion.

    Raises:
        NotFoundError: there is no champion yet, and the step makes none.
        InputError: the weight is out of range, or the release has another role.
    """
    if step.variant == CHAMPION:
        return _make_champion(before, model, step.served)
    if before is None:
        raise NotFoundError(
            f"{model} has no champion yet, so that {step.served.semantic_version} cannot be {step.variant}; "
            "promote a version first"
        )
    if step.kind == "withdraw":
        return _change(before, {step.variant: None})
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
    if variant == CHALLENGER:
        return CHALLENGER
    if variant == SHADOW:
        return SHADOW
    raise InputError(
        f"{variant!r} of {model} cannot be withdrawn; give {CHALLENGER} or {SHADOW}. To replace the champion, use "
        "`athanor registry promote` or `rollback`"
    )


def _make_champion(before: Traffic | None, model: str, served: Served) -> Traffic:
    """Ends another role of the release: it cannot be compared with itself."""
    if before is None:
        return Traffic(model=model, revision=1, champion=served)
    over = {variant: None for variant, other in before.served.items() if other.digest == served.digest}
    return _change(before, {**over, CHAMPION: served})


def _change(before: Traffic, parts: dict[Variant, Served | None]) -> Traffic:
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
