"""What each kind of move makes of the traffic. Nothing here reads or writes.

A release is champion, challenger or shadow, one at a time. Where the traffic is as it is wanted, it is given back
unchanged: that is no move.
"""

from dataclasses import dataclass

from athanor.errors import AthanorError, InputError, NotFoundError
from athanor.registry.history import CHALLENGER, CHAMPION, SHADOW, Kind, Move
from athanor.release.traffic import Challenger, Served, Traffic, Variant


@dataclass(frozen=True)
class Step:
    """What is wanted.

    Attributes:
        variant: that changes.
        served: the release that becomes it, or is withdrawn.
        weight: of a challenger.
    """

    kind: Kind
    variant: Variant
    served: Served
    weight: float = 0.0


def take(before: Traffic | None, model: str, step: Step) -> Traffic:
    """The traffic after a step.

    Args:
        before: None where nothing was promoted yet.

    Raises:
        NotFoundError: there is no champion, and the step makes none.
        InputError: a challenger's weight is none, or the release takes another part.
    """
    if step.variant == CHAMPION:
        return _make_champion(before, model, step.served)
    if before is None:
        raise NotFoundError(
            f"{model} has no champion that {step.served.semantic_version} could stand beside as {step.variant}; "
            "promote a version first"
        )
    if step.kind == "withdraw":
        return _change(before, {step.variant: None})
    _demand_no_other_part(before, step)
    if step.variant == SHADOW:
        return _change(before, {SHADOW: step.served})
    _check_weight(model, step.weight)
    return _change(before, {CHALLENGER: Challenger(**step.served.model_dump(), weight=step.weight)})


def follows(before: Traffic | None, move: Move) -> bool:
    """Whether the traffic that a move recorded is what its step makes of the traffic before it."""
    served = Served(digest=move.digest, semantic_version=move.semantic_version)
    step = Step(move.kind, move.variant, served, move.traffic.weights.get(CHALLENGER, 0.0))
    try:
        return take(before, move.traffic.model, step) == move.traffic
    except AthanorError:
        return False


def withdrawable(model: str, variant: str) -> Variant:
    """The variant, if it is one that can be withdrawn; InputError if not."""
    if variant == CHALLENGER:
        return CHALLENGER
    if variant == SHADOW:
        return SHADOW
    raise InputError(
        f"{variant!r} of {model} cannot be withdrawn; give {CHALLENGER} or {SHADOW}. Another champion is made by "
        "`athanor registry promote` or `rollback`"
    )


def _make_champion(before: Traffic | None, model: str, served: Served) -> Traffic:
    """Where the release was challenger or shadow, that is over: it cannot be tried against itself."""
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
            f"{weight} is no weight of a challenger of {model}; it is the share of the keys that it answers for, "
            "above 0 and below 1: 0.1 is one key in ten"
        )


def _demand_no_other_part(before: Traffic, step: Step) -> None:
    for variant, other in before.served.items():
        if variant != step.variant and other.digest == step.served.digest:
            first = "promote another version" if variant == CHAMPION else f"withdraw the {variant}"
            raise InputError(
                f"{other.semantic_version} of {before.model} is {variant}, and cannot be {step.variant} as well; "
                f"{first} first"
            )
