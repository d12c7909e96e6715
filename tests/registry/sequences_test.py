"""Any sequence of moves leaves the traffic of a simple model, and a complete history."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.properties import SLOW_PROPERTY
from support.registries import MODEL, Workspace

from athanor.errors import InputError
from athanor.registry.care.doctor import examine
from athanor.registry.registry import Registry
from athanor.release.traffic import Traffic

_WHY: Final = "to see"


@dataclass(frozen=True)
class _Expected:
    """What the traffic must be: versions, and who was champion before, the present one or the withdrawn one last."""

    champions: tuple[str, ...] = ()
    is_withdrawn: bool = False
    challenger: tuple[str, float] | None = None
    shadow: str | None = None
    pinned: frozenset[str] = frozenset()
    moves: int = field(default=0, compare=False)

    def crowned(self, champions: tuple[str, ...]) -> "_Expected":
        now = champions[-1]
        challenger = None if self.challenger and self.challenger[0] == now else self.challenger
        shadow = None if self.shadow == now else self.shadow
        return replace(self, champions=champions, is_withdrawn=False, challenger=challenger, shadow=shadow)

    @property
    def champion(self) -> str | None:
        return self.champions[-1] if self.champions and not self.is_withdrawn else None


# Refused: None.
_Rule: TypeAlias = Callable[[_Expected], _Expected | None]
_Act: TypeAlias = Callable[[Registry], Traffic]


@dataclass(frozen=True)
class _Step:
    name: str
    act: _Act
    rule: _Rule

    def __repr__(self) -> str:
        return self.name


def _promote(version: str) -> _Step:
    def rule(now: _Expected) -> _Expected:
        if now.champion == version:
            return now
        return now.crowned(now.champions if now.champions[-1:] == (version,) else (*now.champions, version))

    return _Step(f"promote {version}", lambda registry: registry.promote(MODEL, version, _WHY), rule)


def _rollback() -> _Step:
    def rule(now: _Expected) -> _Expected | None:
        earlier = now.champions if now.is_withdrawn else now.champions[:-1]
        return now.crowned(earlier) if earlier else None

    return _Step("rollback", lambda registry: registry.rollback(MODEL, _WHY), rule)


def _challenge(version: str, weight: float) -> _Step:
    def rule(now: _Expected) -> _Expected | None:
        is_free = now.champion and version not in (now.champion, now.shadow)
        return replace(now, challenger=(version, weight)) if is_free and 0 < weight < 1 else None

    return _Step(
        f"challenge {version} {weight}", lambda registry: registry.challenge(MODEL, version, weight, _WHY), rule
    )


def _shadow(version: str) -> _Step:
    def rule(now: _Expected) -> _Expected | None:
        others = ((now.champion,), (now.challenger or ())[:1])
        return replace(now, shadow=version) if now.champion and (version,) not in others else None

    return _Step(f"shadow {version}", lambda registry: registry.shadow(MODEL, version, _WHY), rule)


def _withdraw(variant: str) -> _Step:
    def rule(now: _Expected) -> _Expected | None:
        if variant == "champion":
            return _Expected(now.champions, is_withdrawn=True, moves=now.moves) if now.champion else None
        if variant == "challenger":
            return replace(now, challenger=None) if now.challenger else None
        return replace(now, shadow=None) if now.shadow else None

    return _Step(f"withdraw {variant}", lambda registry: registry.withdraw(MODEL, variant, _WHY), rule)


def _pin(version: str) -> _Step:
    def rule(now: _Expected) -> _Expected | None:
        return replace(now, pinned=now.pinned | {version}) if now.champion and version not in now.pinned else None

    return _Step(f"pin {version}", lambda registry: registry.pin(MODEL, version, _WHY), rule)


def _unpin(version: str) -> _Step:
    def rule(now: _Expected) -> _Expected | None:
        return replace(now, pinned=now.pinned - {version}) if version in now.pinned else None

    return _Step(f"unpin {version}", lambda registry: registry.unpin(MODEL, version, _WHY), rule)


_VERSIONS: Final = st.sampled_from(["1.0.0", "1.0.1", "1.1.0"])
_WEIGHTS: Final = st.sampled_from([0.1, 0.5, 0.0, 1.0])
_STEPS: Final = st.one_of(
    st.builds(_promote, _VERSIONS),
    st.builds(_rollback),
    st.builds(_challenge, _VERSIONS, _WEIGHTS),
    st.builds(_shadow, _VERSIONS),
    st.builds(_withdraw, st.sampled_from(["champion", "challenger", "shadow"])),
    st.builds(_pin, _VERSIONS),
    st.builds(_unpin, _VERSIONS),
)


def _read(registry: Registry) -> tuple[str | None, tuple[str, float] | None, str | None, frozenset[str]]:
    traffic = registry.store.read_traffic(MODEL)
    versions = {variant: served.semantic_version for variant, served in traffic.served.items()}
    challenger = (versions["challenger"], traffic.weights["challenger"]) if traffic.challenger else None
    pinned = frozenset(served.semantic_version for served in traffic.pinned)
    return versions.get("champion"), challenger, versions.get("shadow"), pinned


def _check_step(registry: Registry, step: _Step, now: _Expected) -> _Expected:
    after = step.rule(now)
    if after is None:
        with pytest.raises(InputError):
            step.act(registry)
        return now
    assert step.act(registry) == registry.store.read_traffic(MODEL)
    assert _read(registry) == (after.champion, after.challenger, after.shadow, after.pinned)
    return replace(after, moves=now.moves + (after != now))


@SLOW_PROPERTY
@given(steps=st.lists(_STEPS, min_size=4, max_size=16))
def test_the_traffic_is_what_the_moves_make_of_it(filled: Workspace, place: Workspace, steps: list[_Step]) -> None:
    place.reset(filled)
    registry, now = place.open(), _Expected()
    # The first two, so that most of what follows is allowed.
    for step in (_promote("1.0.0"), _promote("1.0.1"), *steps):
        recorded = registry.list_moves(MODEL)
        now = _check_step(registry, step, now)
        moves = registry.list_moves(MODEL)
        assert moves[: len(recorded)] == recorded
        assert len(moves) == now.moves == registry.store.read_traffic(MODEL).revision
    assert examine(registry, place.home.candidates) == []
    assert examine(place.open(), place.home.candidates) == []
