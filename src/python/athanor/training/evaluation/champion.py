"""The champion's predictions for the rows on which a new release is evaluated."""

from typing import Final

from athanor.contract.columns import Columns, Role
from athanor.contract.contract import Contract
from athanor.contract.inputs import GraphInputs
from athanor.errors import NotFoundError
from athanor.release.files import EVALUATED_GRAPH, GRAPH, Release
from athanor.release.graph import Graph
from athanor.release.store import ReleaseStore
from athanor.training.evaluation.evidence import Champion, Rows

_DOUBT: Final = frozenset({Role.LOWER, Role.UPPER, Role.IN_SET})


def predict_with_champion(store: ReleaseStore, contract: Contract, rows: Rows) -> Champion | None:
    """The champion with its predictions; None if there is none yet, or it was withdrawn.

    Its graph runs on the columns of these rows, whatever features it computes from them. After a refit it is the graph
    that was evaluated: the other one may have seen these rows, and no new model would keep up with it. There are no
    answers if the contract has lost a column that it needs, or changed one's kind, or if its answer lacks a column of
    the contract's. Intervals and sets it may lack.

    Raises:
        ReleaseError: the champion is corrupted.
    """
    try:
        served = store.read_traffic(contract.name).require_champion()
    except NotFoundError:
        return None
    release = store.read(contract.name, served.digest)
    answers, reason = _predict(release, contract, rows)
    return Champion(served.semantic_version, served.digest, answers, reason)


def _predict(release: Release, contract: Contract, rows: Rows) -> tuple[Columns | None, str]:
    kinds = {column.name: column.kind for column in contract.columns}
    needed = [column for column in release.contract.columns if Role.FEATURE in column.roles]
    if lost := [
        f"{column.name} ({column.kind.value})" for column in needed if kinds.get(column.name) is not column.kind
    ]:
        return None, f"the champion needs columns that the contract does not have any more: {', '.join(lost)}"
    graph = release.files.get(EVALUATED_GRAPH, release.files[GRAPH])
    answers = Graph(graph, GraphInputs.of(needed)).answer(rows.columns)
    if lacking := [
        column.name for column in contract.answer if not column.roles & _DOUBT and column.name not in answers
    ]:
        return None, f"the champion's answer lacks the columns {', '.join(lacking)}"
    return {column.name: answers[column.name] for column in contract.answer if column.name in answers}, ""
