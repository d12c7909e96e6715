"""Gates on metrics over all held-out rows. An answer that breaks the contract fails every one of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from athanor.contract.columns import Columns
from athanor.errors import ContractError
from athanor.release.record import GateResult
from athanor.tasks.task import Task
from athanor.training.evaluation.bootstrap import paired_interval
from athanor.training.evaluation.evidence import Champion, Evidence
from athanor.training.evaluation.metrics import describe_invalid, measure
from athanor.training.gates.bounds import (
    list_bound_problems,
    list_margin_problems,
    require_bounds,
    require_count,
    require_range,
    require_size,
)
from athanor.training.gates.gate import make_result


@dataclass(frozen=True)
class Floor:
    """A metric stays within absolute bounds.

    Attributes:
        metric: one of the task's, such as "roc_auc" or "mae"; see `athanor.tasks`.
        at_least, at_most: bounds, inclusive; at least one is required.

    >>> Floor("roc_auc")
    Traceback (most recent call last):
    athanor.errors.ContractError: floor of roc_auc: neither at_least nor at_most is given, ...
    >>> Floor("roc_auc", at_least=0.7).run(evidence).passed
    True
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        require_bounds(self.name, self.at_least, self.at_most)

    def list_problems(self, task: Task) -> Iterator[str]:
        return list_bound_problems(self.name, task, self.metric, self.at_least, self.at_most)

    @property
    def name(self) -> str:
        if self.at_most is None:
            return f"floor of {self.metric}"
        return f"ceiling of {self.metric}" if self.at_least is None else f"range of {self.metric}"

    def run(self, evidence: Evidence) -> GateResult:
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
        if problem := describe_invalid(evidence.task.contract, evidence.answers):
            return make_result(self, False, None, wanted, problem)
        value = measure(evidence.task, self.metric, evidence.rows, evidence.answers)
        is_above = self.at_least is None or value >= self.at_least
        is_below = self.at_most is None or value <= self.at_most
        return make_result(self, is_above and is_below, value, wanted, f"{self.metric} is {value:.4g}")


@dataclass(frozen=True)
class BetterThanBaseline:
    """A metric is better than the baseline's, by a minimum gain. A gain of zero always fails.

    Attributes:
        metric: as in `Floor`.
        by: smallest gain, inclusive; positive for every metric, whether greater or smaller values are better.

    >>> BetterThanBaseline("brier_score", by=-0.1)
    Traceback (most recent call last):
    athanor.errors.ContractError: brier_score better than baseline: by is -0.1; it must be at least 0 and less than inf
    >>> BetterThanBaseline("brier_score", by=0.05).run(evidence).passed
    True
    """

    metric: str
    by: float = 0.0

    def __post_init__(self) -> None:
        require_size(self.name, "by", self.by)

    def list_problems(self, task: Task) -> Iterator[str]:
        return list_margin_problems(self.name, task, self.metric, "by", self.by)

    @property
    def name(self) -> str:
        return f"{self.metric} better than baseline"

    def run(self, evidence: Evidence) -> GateResult:
        wanted = f"a gain of at least {self.by:g}" if self.by else "a gain"
        task = evidence.task
        if problem := describe_invalid(task.contract, evidence.answers):
            return make_result(self, False, None, wanted, problem)
        if problem := describe_invalid(task.contract, evidence.baseline):
            return make_result(self, False, None, wanted, f"the baseline: {problem}")
        ours, baseline = (measure(task, self.metric, evidence.rows, a) for a in (evidence.answers, evidence.baseline))
        found = task.metrics[self.metric].gain(ours, baseline)
        explanation = f"{self.metric} is {ours:.4g}, the baseline's {baseline:.4g}: a gain of {found:.4g}"
        return make_result(self, found > 0 and found >= self.by, found, wanted, explanation)


@dataclass(frozen=True)
class NotWorseThanChampion:
    """A metric is not worse than the champion's by more than a margin: a non-inferiority test.

    The lower bound of a paired bootstrap interval of the gain must be at least `-margin`, so few rows prove little.
    Passes if the model has no champion; the champion of an earlier proto package is another model's. Fails if the
    champion's answers to the same rows cannot be had, or lack what the metric measures.

    Attributes:
        metric: as in `Floor`.
        margin: largest acceptable loss, inclusive; positive for every metric.
        confidence: of the interval, in [0.5, 1).

    >>> NotWorseThanChampion("roc_auc", margin=0.01, confidence=1.0)
    Traceback (most recent call last):
    athanor.errors.ContractError: roc_auc not worse than champion: confidence is 1; it must be at least 0.5 ...
    >>> NotWorseThanChampion("roc_auc", margin=0.01).run(evidence).explanation
    'there is no champion'
    """

    metric: str
    margin: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        require_size(self.name, "margin", self.margin)
        require_range(self.name, "confidence", self.confidence, 0.5, 1.0)

    def list_problems(self, task: Task) -> Iterator[str]:
        return list_margin_problems(self.name, task, self.metric, "margin", self.margin)

    @property
    def name(self) -> str:
        return f"{self.metric} not worse than champion"

    def run(self, evidence: Evidence) -> GateResult:
        champion = evidence.champion
        if problem := describe_invalid(evidence.task.contract, evidence.answers):
            return self._say(False, problem)
        if champion is None:
            return self._say(True, "there is no champion")
        if champion.answers is None:
            return self._say(False, _explain_unavailable(champion, champion.reason))
        if problem := describe_invalid(evidence.task.contract, champion.answers):
            return self._say(False, f"{_describe(champion)}: {problem}; roll it back, then train again")
        try:
            measure(evidence.task, self.metric, evidence.rows, champion.answers)
        except ContractError as error:
            return self._say(False, _explain_unavailable(champion, str(error)))
        return self._compare(champion, champion.answers, evidence)

    def _compare(self, champion: Champion, theirs: Columns, evidence: Evidence) -> GateResult:
        task, rows, ours = evidence.task, evidence.rows, evidence.answers
        found = paired_interval(task, self.metric, rows, ours, theirs, evidence.seed, self.confidence)
        explanation = (
            f"the gain of {self.metric} over {_describe(champion)} is {found.value:.4g}, "
            f"{100 * self.confidence:g} % interval {found.low:.4g} to {found.high:.4g}"
        )
        return make_result(self, found.low >= -self.margin, found.low, self._wanted, explanation)

    def _say(self, passed: bool, explanation: str) -> GateResult:
        return make_result(self, passed, None, self._wanted, explanation)

    @property
    def _wanted(self) -> str:
        return f"a gain with a lower end of at least {-self.margin or 0.0:g}"


def _describe(champion: Champion) -> str:
    return f"champion {champion.semantic_version} ({champion.digest[:12]})"


def _explain_unavailable(champion: Champion, reason: str) -> str:
    remedy = "train once with a recipe without this gate, and give the reason in the commit"
    return f"{_describe(champion)} cannot be compared: {reason or 'unknown reason'}; {remedy}"


@dataclass(frozen=True)
class CalibrationError:
    """The expected calibration error is small; see `athanor.tasks.reliability.calibration_error`.

    It compares the probability of true with how often it came true; the probability of the predicted category with how
    often it was right; or the stated coverage of intervals with the outcomes that they hold.

    Attributes:
        at_most: largest allowed error, inclusive; in [0, 1).
        bins: number of bins of equal counts.

    >>> CalibrationError(at_most=0.1, bins=0)
    Traceback (most recent call last):
    athanor.errors.ContractError: calibration error: bins is 0; it must be at least 1
    >>> CalibrationError(at_most=0.001).run(evidence).passed
    False
    """

    at_most: float
    bins: int = 10

    def __post_init__(self) -> None:
        require_range(self.name, "at_most", self.at_most, 0.0, 1.0)
        require_count(self.name, "bins", self.bins)

    def list_problems(self, task: Task) -> Iterator[str]:
        return (f"{self.name}: {problem}" for problem in task.list_claim_problems())

    @property
    def name(self) -> str:
        return "calibration error"

    def run(self, evidence: Evidence) -> GateResult:
        wanted = f"at most {self.at_most:g}"
        task, rows = evidence.task, evidence.rows
        if problem := describe_invalid(task.contract, evidence.answers):
            return make_result(self, False, None, wanted, problem)
        found = task.measure_reliability(rows.labels, evidence.answers, self.bins, rows.weights)
        explanation = (
            f"in {self.bins} bins of equal counts, {found.claim} and {found.outcome} differ by {found.error:.4g} on "
            f"average; over all rows they are {found.claimed:.4g} and {found.observed:.4g}"
        )
        return make_result(self, found.error <= self.at_most, found.error, wanted, explanation)
