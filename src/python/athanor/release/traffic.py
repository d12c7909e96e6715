"""The traffic file: which releases of a model answer, and how they share the requests."""

from typing import Any, Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from athanor.errors import NotFoundError

Variant: TypeAlias = Literal["champion", "challenger", "shadow"]
VARIANTS: Final[tuple[Variant, ...]] = get_args(Variant)
PINNED: Final = "pinned"
Role: TypeAlias = Literal[Variant, "pinned"]
MOST_PINNED: Final = 20
"""A replica holds each of them in its memory."""


class Served(BaseModel):
    """One release in the traffic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    semantic_version: str = Field(pattern=r"^\d+\.\d+\.\d+$")


class Challenger(Served):
    """The release under test against the champion.

    Attributes:
        weight: share of the keys that it answers, above 0 and below 1.
    """

    weight: float = Field(gt=0, lt=1, allow_inf_nan=False)


class WithdrawnError(NotFoundError):
    """The champion of a model was withdrawn: no release of it takes traffic."""


class Traffic(BaseModel):
    """How the releases of a model share its requests.

    Attributes:
        revision: increases by one with each change.
        champion: the release that answers; None once it was withdrawn, and then there is no other release either.
        challenger: the release that answers a share of the keys, if any.
        shadow: a release that also gets each request, if any; its answers are logged and never sent.
        pinned: releases that answer only requests which name their version. One of them may be a variant too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: int = Field(ge=1)
    champion: Served | None
    challenger: Challenger | None = None
    shadow: Served | None = None
    pinned: tuple[Served, ...] = Field(default=(), max_length=MOST_PINNED)

    @field_validator("pinned")
    @classmethod
    def _require_unique(cls, pinned: tuple[Served, ...]) -> tuple[Served, ...]:
        versions = [served.semantic_version for served in pinned]
        if repeated := sorted({version for version in versions if versions.count(version) > 1}):
            raise ValueError(f"{', '.join(repeated)} is pinned twice")
        return pinned

    @model_validator(mode="after")
    def _require_none_beside_none(self) -> "Traffic":
        if self.champion is None and self.releases:
            role, served = self.releases[0]
            raise ValueError(f"{served.semantic_version} is {role}, and there is no champion")
        return self

    def require_champion(self) -> Served:
        """The release that answers. Raises WithdrawnError once the champion was withdrawn."""
        if self.champion is None:
            raise WithdrawnError(
                f"no release of {self.model} takes traffic: its champion was withdrawn in revision {self.revision}; "
                "promote one, or roll back"
            )
        return self.champion

    @property
    def served(self) -> dict[Variant, Served]:
        """The releases in the traffic, by variant."""
        found = {variant: getattr(self, variant) for variant in VARIANTS}
        return {variant: release for variant, release in found.items() if release is not None}

    @property
    def releases(self) -> tuple[tuple[Role, Served], ...]:
        """Every release in the traffic with its role: the variants, then the pinned ones."""
        return (*self.served.items(), *((PINNED, served) for served in self.pinned))

    @property
    def weights(self) -> dict[Variant, float]:
        """The share of the keys that each variant answers, from 0 to 1. They sum to 1, and a shadow has 0.

        Empty once the champion was withdrawn.
        """
        challenged = self.challenger.weight if self.challenger else 0.0
        # Rounded: 1 - 0.9 is 0.09999999999999998.
        shares: dict[Variant, float] = {"champion": round(1 - challenged, 12), "challenger": challenged, "shadow": 0.0}
        return {variant: shares[variant] for variant in self.served}

    def weight_of(self, role: Role) -> float:
        """The share of the keys that a role answers; a pinned release has 0."""
        return 0.0 if role == PINNED else self.weights[role]

    def document(self) -> dict[str, Any]:
        """Its content, as files hold it.

        Without pinned releases it is as before there were any: its signatures stay valid, and older replicas read it.
        """
        return self.model_dump(mode="json", exclude=None if self.pinned else {"pinned"})
