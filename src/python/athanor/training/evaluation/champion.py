"""The champion's predictions for the rows on which a new release is evaluated."""

import numpy as np
from numpy.typing import NDArray

from athanor.contract.columns import Role
from athanor.contract.contract import Contract
from athanor.contract.inputs import GraphInputs
from athanor.errors import NotFoundError
from athanor.release.files import GRAPH, Release
from athanor.release.graph import Graph
from athanor.release.store import ReleaseStore
from athanor.training.evaluation.evidence import Champion, Rows


def predict_with_champion(store: ReleaseStore, contract: Contract, rows: Rows) -> Champion | None:
    """The champion with its predictions; None if there is none yet, or it was withdrawn.

    Its graph runs on the columns of these rows, whatever features it computes from them. There are no predictions if
    the contract has lost a column that it needs, or changed one's kind.

    Raises:
        ReleaseError: the champion is corrupted.
    """
    try:
        served = store.read_traffic(contract.name).require_champion()
    except NotFoundError:
        return None
    release = store.read(contract.name, served.digest)
    probabilities, reason = _predict(release, contract, rows)
    return Champion(served.semantic_version, served.digest, probabilities, reason)


def _predict(release: Release, contract: Contract, rows: Rows) -> tuple[NDArray[np.float64] | None, str]:
    kinds = {column.name: column.kind for column in contract.columns}
    needed = [column for column in release.contract.columns if Role.FEATURE in column.roles]
    if lost := [
        f"{column.name} ({column.kind.value})" for column in needed if kinds.get(column.name) is not column.kind
    ]:
        return None, f"the champion needs columns that the contract does not have any more: {', '.join(lost)}"
    return Graph(release.files[GRAPH], GraphInputs.of(needed)).predict_probability(rows.columns), ""
