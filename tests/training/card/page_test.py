"""The contents of a model card."""

from dataclasses import replace
from typing import Any, Final

import pytest
from support.cards import FAILED, PASSED, SNAPSHOT, make_refused_subject, make_subject, with_importance
from support.releases import PROVENANCE, make_files, make_identity, make_record
from support.reports import Page

from athanor.pages.wording import NONE
from athanor.release.manifest import Calibration, SplitResult
from athanor.tasks.tasks import task_of
from athanor.training.card.importance_chart import IMPORTANT
from athanor.training.card.page import TRIALS, CardSubject, Verdict, list_verdicts, write_card
from athanor.training.evaluation.evidence import Span
from projects.delays.model import MODEL

_METRICS: Final = task_of(MODEL.contract).metrics
_ROC_AUC: Final = f"roc_auc {_METRICS['roc_auc'].description}"


def _page(subject: CardSubject) -> Page:
    return Page(write_card(subject).decode())


def _words(**record: Any) -> str:
    return _page(make_subject(record=make_record(**record))).words


@pytest.mark.parametrize(
    ("subject", "kinds", "text"),
    [
        (make_subject(), ["passed"], "It passed its gate."),
        (make_subject(record=make_record(gates=[PASSED] * 3)), ["passed"], "It passed all 3 gates."),
        (make_refused_subject(), ["refused"], "1 of 2 gates failed. This is not a release and must not be used."),
        (make_subject(record=make_record(gates=[PASSED, FAILED])), ["refused"], "1 of 2 gates failed."),
        (make_subject(record=make_record(status="refused")), ["refused"], "0 of 1 gate failed."),
        (make_subject(record=make_record(gates=[])), ["warning"], "Not gated The recipe has no gates."),
        (
            make_subject(provenance=PROVENANCE.model_copy(update={"is_clean": False})),
            ["passed", "warning"],
            "Made from an unclean tree Some of the code was not committed",
        ),
        (
            make_subject(provenance=PROVENANCE.model_copy(update={"is_clean": False, "commit": ""})),
            ["passed", "warning"],
            "Made outside a repository",
        ),
    ],
)
def test_the_verdict_is_shown_first(subject: CardSubject, kinds: list[str], text: str) -> None:
    found = list(list_verdicts(subject))
    page = _page(subject)
    assert [verdict.kind for verdict in found] == kinds
    assert [f"verdict {kind}" for kind in kinds] == [c for c in page.values("class") if c.startswith("verdict ")]
    assert text in page.words.partition("release digest")[0]
    assert all(f"{verdict.title} {verdict.text}" in page.words for verdict in found)


def test_what_was_not_committed_is_named() -> None:
    record = make_record(uncommitted=["src/<late>.py", "b.txt"])
    unclean = PROVENANCE.model_copy(update={"is_clean": False})
    assert "Changed were src/<late>.py, b.txt." in _page(make_subject(record=record, provenance=unclean)).words


def test_a_refused_model_shows_its_failed_gates_first() -> None:
    html = write_card(make_refused_subject()).decode()
    head, _, _ = html.partition("<main>")
    words = Page(head).words
    told = "latency failed 61.5 at most 5 ms the median is 61.5 ms"
    assert told in words
    assert "floor of roc_auc" not in words
    assert words.index("Refused") < words.index(told) < words.index("release digest")
    assert "<title>delays: model card, refused</title>" in html


def test_a_passed_model_has_no_gate_at_its_head() -> None:
    html = write_card(make_subject()).decode()
    assert "at least 0.66" not in html.partition("<main>")[0]
    assert "<title>delays: model card, passed</title>" in html


def test_all_gates_are_shown_with_value_requirement_and_explanation() -> None:
    unmeasured = PASSED.model_copy(update={"gate": "champion", "value": None})
    words = _words(gates=[PASSED, FAILED, unmeasured]).partition("Conditions that a release must meet")[2]
    assert "floor of roc_auc passed 0.75 at least 0.66 roc_auc is 0.75" in words
    assert "latency failed 61.5 at most 5 ms the median is 61.5 ms" in words
    assert f"champion passed {NONE} at least 0.66 roc_auc is 0.75" in words


def test_metrics_of_model_and_baseline_are_side_by_side_with_intervals() -> None:
    words = _words()
    assert (
        "On 20 rows that the split held out, from 2013-10-01 00:00:00 UTC to 2013-12-31 23:59:00 UTC; "
        "their label, arrived_late: rate 0.25." in words
    )
    assert (
        "All of them are later than the training rows, from 2013-01-01 10:15:00 UTC to 2013-09-30 23:59:59 UTC."
        in words
    )
    assert "evaluated on 20 later rows" in words
    assert "Metric Model, 95% interval Baseline, 95% interval Better is" in words
    assert f"{_ROC_AUC} 0.7500 0.7000 to 0.8000 0.5000 0.4500 to 0.5500 higher" in words


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        # The last training row has the instant of the first that was held out.
        (("2013-01-01T00:00:00.000000Z", "2013-10-01T00:00:00.000000Z"), "Not all of them are later than the training"),
        (("2013-01-01T00:00:00.000000Z", "2013-12-31T00:00:00.000000Z"), "Not all of them are later than the training"),
        (("2014-01-01T00:00:00.000000Z", "2014-12-31T00:00:00.000000Z"), "Not all of them are later than the training"),
        (None, "Whether they are later than the training rows is not known."),
    ],
)
def test_rows_are_called_later_only_if_they_are(trained: tuple[str, str] | None, words: str) -> None:
    page = _page(make_subject(trained=Span(*trained) if trained else None)).words
    assert words in page
    assert "All of them are later" not in page
    assert "evaluated on 20 held-out rows" in page
    assert "later rows" not in page


def test_a_metric_that_the_baseline_lacks_has_a_dash() -> None:
    assert f"{_ROC_AUC} 0.7500 0.7000 to 0.8000 {NONE} higher" in _words(baseline={})


def test_an_unknown_metric_is_shown_under_its_name() -> None:
    estimate = {"value": 0.25, "low": 0.125, "high": 0.5}
    words = _words(metrics={"brier_score": estimate, "regret": estimate})
    assert f"brier_score {_METRICS['brier_score'].description} 0.2500 0.1250 to 0.5000 {NONE} lower" in words
    assert f"regret 0.2500 0.1250 to 0.5000 {NONE} Curves" in words


def test_slices_are_shown_in_the_order_of_the_record() -> None:
    def make_slice(name: str, value: str, metric: float | None) -> dict[str, Any]:
        metrics = {"roc_auc": metric}
        return {"slice": name, "value": value, "rows": 1_200, "label": {"rate": 0.125}, "metrics": metrics}

    slices = [
        make_slice("origin", "JFK", 0.5),
        make_slice("origin", "", None),
        make_slice("carrier", "UA", 0.9),
    ]
    told = (
        f"origin JFK 1,200 rate 0.125 0.5000 origin missing 1,200 rate 0.125 {NONE} carrier UA 1,200 rate 0.125 0.9000"
    )
    assert told in _words(slices=slices)


def test_a_slice_without_a_metric_of_the_record_has_a_dash() -> None:
    bare = {"slice": "origin", "value": "JFK", "rows": 9, "label": {"rate": 0.0}, "metrics": {}}
    assert f"origin JFK 9 rate 0 {NONE}" in _words(slices=[bare])


def test_every_column_of_the_contract_is_shown() -> None:
    words = _page(make_subject()).words
    assert (
        "It answers late_probability: Probability of arriving 15 minutes late or more, a number from 0 to 1." in words
    )
    assert (
        "temperature Air temperature at the origin, scheduled hour a number from -60 to 130 [degF] may be missing"
        in words
    )
    assert "origin Airport of departure, IATA code one of EWR, JFK, LGA required" in words
    assert "Flight number of the carrier ; the model does not see it a whole number from 1 to 9999 required" in words
    assert words.count("the model does not see it") == 1
    for column in MODEL.contract.columns:
        assert f"{column.name} {column.description}" in words
    assert f"The model sees {len(MODEL.features.numeric + MODEL.features.categorical)} features" in words


def test_the_data_is_shown_with_its_range_and_digest() -> None:
    words = _page(make_subject()).words
    assert "snapshot delays, version 3 rows 120 first event 2013-01-01 10:15:00 UTC" in words
    assert f"last event 2013-12-31 23:59:00 UTC content digest {'5' * 64}" in words


def test_data_without_event_times_has_a_note() -> None:
    words = _page(make_subject(snapshot=replace(SNAPSHOT, first_event="", last_event=""))).words
    assert "first event none last event none" in words
    assert f"It was made from {SNAPSHOT.rows_out} rows without times, and trained on" in words


def test_the_best_trials_are_shown_with_their_scores() -> None:
    words = _words()
    assert "The best 2 of 2 by average_precision" in words
    assert f"by distance middle 1000.0 0.6250 0.5000, 0.7500 1.5 by carrier none {NONE} 0.2500, {NONE} 0.5" in words


@pytest.mark.parametrize(
    ("split", "told"),
    [
        (SplitResult(kind="latest", rows_trained=9, rows_evaluated=3), "on rows no earlier than those fitted. The"),
        (
            SplitResult(kind="share", seed=0, rows_trained=9, rows_evaluated=3),
            "on random rows, fitted on the others. The",
        ),
    ],
)
def test_the_folds_of_the_trials_are_told(split: SplitResult, told: str) -> None:
    assert f"validated {told}" in _page(make_subject(identity=make_identity(make_files(), split=split))).words


def test_at_most_ten_trials_are_shown() -> None:
    trials = [{"algorithm": f"number {i}", "parameters": {}, "scores": [0.5], "fit_s": 1.0} for i in range(12)]
    words = _words(trials=trials)
    assert f"The best {TRIALS} of 12" in words
    assert f"number {TRIALS - 1} " in words
    assert f"number {TRIALS} " not in words


def test_parameters_are_shown_without_their_pipeline_steps() -> None:
    identity = make_identity(make_files(), parameters={"histgradientboostingclassifier__max_leaf_nodes": 15, "C": 0.1})
    assert "parameters max_leaf_nodes 15, C 0.1" in _page(make_subject(identity=identity)).words


@pytest.mark.parametrize(
    ("calibration", "told"),
    [
        (None, "calibration none"),
        (Calibration(slope=0.9, intercept=-0.1), "calibration Platt scaling, slope 0.9000, intercept -0.1000"),
    ],
)
def test_calibration_is_shown(calibration: Calibration | None, told: str) -> None:
    assert told in _page(make_subject(identity=make_identity(make_files(), calibration=calibration))).words


def test_commands_to_rebuild_are_shown() -> None:
    subject = make_subject()
    words = _page(subject).words
    assert f"git checkout 0123456789abcdef ./pants athanor verify {subject.digest[:12]}" in words
    assert "unclean" not in words


def test_a_refused_model_is_rebuilt_by_training_because_it_has_no_release_to_verify() -> None:
    words = _page(make_refused_subject()).words
    assert "git checkout 0123456789abcdef ./pants athanor train delays --snapshot 3" in words
    assert "athanor verify" not in words


def test_without_a_commit_there_is_no_checkout_command() -> None:
    words = _page(make_subject(provenance=PROVENANCE.model_copy(update={"commit": "", "is_clean": False}))).words
    assert "git checkout" not in words
    assert "There is no commit to check out." in words
    assert "commit none tree no repository" in words


def test_provenance_is_shown() -> None:
    words = _page(make_subject()).words
    told = (
        f"commit 0123456789abcdef tree clean: all of it was committed lock of the libraries {'1' * 64} binary none",
        "search local, all combinations machine Linux x86_64, GenuineIntel 6 host, threads nowhere, 2",
        "Athanor, Python 0.1.0, 3.11.0 libraries numpy 2.0.0",
    )
    for part in told:
        assert part in words


def test_an_unclean_tree_is_shown_three_times() -> None:
    provenance = PROVENANCE.model_copy(update={"is_clean": False, "trials": 8, "libraries": {"other": "1"}})
    words = _page(make_subject(provenance=provenance)).words
    assert "Made from an unclean tree" in words
    assert "This model was made from an unclean tree: the commit may not reproduce it." in words
    assert "tree unclean: not everything was committed" in words
    assert "at most 8 trials" in words
    assert "libraries none" in words


def test_limits_count_the_columns_that_may_be_missing() -> None:
    words = _page(make_subject()).words
    count = sum(column.may_be_missing for column in MODEL.contract.columns)
    assert f"{count} of {len(MODEL.contract.columns)} columns may be missing." in words
    assert "Gates check only what they name," in words


def test_empty_sections_have_a_note() -> None:
    subject = make_subject(
        record=make_record(metrics={}, baseline={}, slices=[], gates=[], trials=[]), predicted=with_importance({})
    )
    words = _page(subject).words
    for told in (
        "No metrics were measured.",
        "The recipe has no gates.",
        "The recipe has no slices.",
        "There was no search.",
        "There is nothing to draw.",
    ):
        assert told in words
        assert told not in _page(make_subject()).words


def test_rows_of_one_label_alone_have_no_curves() -> None:
    subject = make_subject()
    alone = _page(replace(subject, predicted=replace(subject.predicted, labels=subject.predicted.labels * 0)))
    assert alone.words.count("There is nothing to draw.") == 3
    assert "chart" in alone.values("class")


def test_features_that_are_not_drawn_are_summarized() -> None:
    importance = {f"feature {i}": 1 / (i + 1) for i in range(IMPORTANT + 2)}
    rest = f"2 others lose at most {1 / (IMPORTANT + 1):.4f}."
    assert rest in _page(make_subject(predicted=with_importance(importance))).words
    assert "at most" not in _page(make_subject()).words.partition("Correlated features share it.")[2][:40]


def test_links_have_targets_and_identifiers_are_unique() -> None:
    page = _page(make_refused_subject())
    identifiers = page.values("id")
    assert len(identifiers) == len(set(identifiers)) == 10
    links = [link for link in page.values("href") if link != "data:,"]
    assert sorted(links) == sorted(f"#{identifier}" for identifier in identifiers)
    assert sorted(page.values("aria-labelledby")) == sorted(identifiers)


def test_a_verdict_is_a_value() -> None:
    assert next(list_verdicts(make_subject())) == Verdict("passed", "Passed", "It passed its gate.")
