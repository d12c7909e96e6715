"""The ledger: what a registry has recorded of a model, kept in the release store beside MLflow.

MLflow forgets what its own client or pages delete. The ledger keeps it: a number is never assigned twice, and a record
that was changed in MLflow is seen and written again.
"""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field


class Assigned(BaseModel):
    """A semantic version and the release that has it, forever.

    Attributes:
        by: name of the user who registered it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    semantic_version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    by: str

    @property
    def order(self) -> tuple[int, ...]:
        """Sort key: the order of assignment."""
        return tuple(map(int, self.semantic_version.split(".")))


class Ledger(BaseModel):
    """The records of one model.

    Attributes:
        versions: every version that was ever assigned.
        moves: the record of each move, by its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: tuple[Assigned, ...] = ()
    moves: Mapping[str, str] = Field(default_factory=dict)

    def find(self, digest: str) -> Assigned | None:
        """The version of a release; None if it has none."""
        return next((version for version in self.versions if version.digest == digest), None)
