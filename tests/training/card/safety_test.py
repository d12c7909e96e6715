"""Nothing that a card shows can become a part of it, it needs nothing from elsewhere, and everybody can read it."""

import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Final

from support.cards import FAILED, PASSED, SNAPSHOT, make_refused_subject, make_subject, with_importance
from support.commands import environment
from support.releases import PROVENANCE, make_files, make_identity, make_record
from support.reports import Page

from athanor.release.manifest import Calibration
from athanor.training.card.page import CardSubject, write_card
from projects.delays.model import MODEL

_HOSTILE: Final = "</td></svg></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"
_ESTIMATE: Final = {"value": 0.5, "low": 0.25, "high": 0.75}


def _page(subject: CardSubject) -> Page:
    return Page(write_card(subject).decode())


def _make_hostile(text: str = _HOSTILE) -> CardSubject:
    """Wherever text comes from outside there is markup in it."""
    contract = MODEL.contract
    columns = [replace(column, description=text, unit=text) for column in contract.columns]
    columns[3] = replace(columns[3], categories=(text,))
    outcome = [replace(column, description=text) for column in contract.outcome_columns]
    bent = replace(
        contract,
        columns=tuple(columns),
        outcome_columns=tuple(outcome),
        answer=(replace(contract.prediction, description=text),),
    )
    gates = [gate.model_copy(update={"gate": text, "wanted": text, "explanation": text}) for gate in (PASSED, FAILED)]
    record = make_record(
        scoring=text,
        status="refused",
        trials=[{"algorithm": text, "parameters": {text: text}, "scores": [0.5], "fit_s": 1.0}],
        metrics={"roc_auc": _ESTIMATE, text: _ESTIMATE},
        baseline={text: _ESTIMATE},
        slices=[{"slice": text, "value": text, "rows": 1, "label": {"rate": 0}, "metrics": {text: 0.5}}],
        gates=gates,
    )
    texts = ("commit", "lock", "pex", "engine", "athanor", "python", "platform", "cpu", "host", "created_at")
    provenance = PROVENANCE.model_copy(update={"libraries": {"numpy": text}, **dict.fromkeys(texts, text)})
    calibration = Calibration(slope=1.0, intercept=0.0)
    identity = make_identity(
        make_files(),
        algorithm=text,
        parameters={text: text},
        calibration=calibration,
        contract=text,
        recipe=text,
        features=text,
    )
    return make_subject(
        model=replace(MODEL, contract=bent),
        identity=identity,
        digest=text,
        provenance=provenance,
        record=record,
        snapshot=replace(SNAPSHOT, dataset=text, digest=text, first_event=text, last_event=text),
        predicted=with_importance({text: 0.5, **{f"{text}{i}": 0.1 for i in range(20)}}),
    )


def test_markup_in_data_stays_text() -> None:
    unclean = PROVENANCE.model_copy(update={"is_clean": False})
    harmless, hostile = _page(make_refused_subject(provenance=unclean)), _page(_make_hostile())
    assert {tag for tag, _ in hostile.elements} <= {tag for tag, _ in harmless.elements}
    assert {name for _, attributes in hostile.elements for name in attributes} <= {
        name for _, attributes in harmless.elements for name in attributes
    }
    assert hostile.words.count(_HOSTILE) > 60


def test_text_that_cannot_be_seen_is_shown_as_escapes() -> None:
    words = _page(_make_hostile("a\0b\u202ec\ud800d\n")).words
    assert words.count(r"a\x00b\u202ec\ud800d\n") > 60
    assert not re.search("[\0\u202e\ud800]", words)


def test_the_page_has_no_external_resources_and_no_scripts() -> None:
    html = write_card(make_refused_subject()).decode()
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form"}
    assert not page.values("src")
    assert not re.search(r"https?:|//|@import|url\(", html)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page.values("content")


def test_charts_and_tables_are_accessible() -> None:
    html = write_card(make_refused_subject()).decode()
    pictures = re.findall(r'<svg class="chart".*?</svg>', html, re.DOTALL)
    assert len(pictures) == 4
    assert all('role="img"' in picture for picture in pictures)
    assert all(re.search(r"<title>.+</title><desc>.+</desc>", picture) for picture in pictures)
    headings = [attributes for tag, attributes in Page(html).elements if tag == "th"]
    assert headings
    assert all(attributes.get("scope") in ("col", "row") for attributes in headings)
    levels = [int(tag[1]) for tag, _ in Page(html).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_class_that_the_page_has_a_tone_for_is_one() -> None:
    html = write_card(make_refused_subject(provenance=PROVENANCE.model_copy(update={"is_clean": False}))).decode()
    for kind in ("passed", "failed", "refused", "warning"):
        assert re.search(rf"\.{kind}[^{{]* {{ --tone", html), kind


def test_the_same_subject_is_the_same_bytes_in_every_process() -> None:
    code = f"import hashlib, runpy; print(hashlib.sha256(runpy.run_path({__file__!r})['write_one']()).hexdigest())"
    digests = set()
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment(), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        digests.add(ran.stdout)
    assert len(digests) == 1


def write_one() -> bytes:
    return write_card(make_refused_subject())


def test_another_subject_is_other_bytes() -> None:
    subject = make_subject()
    assert write_card(subject) == write_card(subject)
    bolder = {name: values**2 for name, values in subject.predicted.answers.items()}
    other = replace(subject, predicted=replace(subject.predicted, answers=bolder))
    assert write_card(other) != write_card(subject)


def test_a_card_is_small() -> None:
    assert len(write_card(make_refused_subject())) < 100_000
