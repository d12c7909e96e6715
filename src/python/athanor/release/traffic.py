"""The traffic file: which releases of a model answer, and how requests are shared among them."""

from typing import Final, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

Variant: TypeAlias = Literal["champion", "challenger", "shadow"]
VARIANTS: Final[tuple[Variant, ...]] = get_args(Variant)


class Served(BaseModel):
    """One release in the traffic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    semantic_version: str = Field(pattern=r"^\d+\.\d+\.\d+$")


class Challenger(Served):
    """The release that is tried against the champion.

    Attributes:
        weight: share of the keys that it answers for, above 0 and below 1.
    """

    weight: float = Field(gt=0, lt=1, allow_inf_nan=False)


class Traffic(BaseModel):
    """How requests are shared.

    Attributes:
        revision: grows by one with each change.
        champion: the release that answers.
        challenger: the release that answers for a share of the keys, if one is tried.
        shadow: a release that is asked as well, and whose answers are logged and never sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: int = Field(ge=1)
    champion: Served
    challenger: Challenger | None = None
    shadow: Served | None = None

    @property
    def served(self) -> dict[Variant, Served]:
        """The releases that take part."""
        found = {variant: getattr(self, variant) for variant in VARIANTS}
        return {variant: release for variant, release in found.items() if release is not None}

    @property
    def weights(self) -> dict[Variant, float]:
        """The share of the keys that each answers for, 0 to 1; all of them are 1 together, and a shadow's is 0."""
        tried = self.challenger.weight if self.challenger else 0.0
        # The decimal that is meant: 1 - 0.9 is 0.09999999999999998.
        shares: dict[Variant, float] = {"champion": round(1 - tried, 12), "challenger": tried, "shadow": 0.0}
        return {variant: shares[variant] for variant in self.served}
