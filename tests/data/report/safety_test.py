"""Nothing that a page shows can become a part of it, it needs nothing from elsewhere, and everybody can read it."""

import re
import subprocess
import sys
from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from support.commands import environment
from support.flights import make_columns
from support.reports import COLUMNS, LENGTH, REFUSED, SHIFTED, Page, make_compared_report, make_report, make_values

from athanor.contract.columns import Column
from athanor.data.checks.findings import Finding
from athanor.data.profiles.profile import profile
from athanor.data.report.page import DataReport, render
from projects.delays.model import MODEL

_HOSTILE: Final = "</td></svg></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"


def _make_hostile() -> DataReport:
    """Wherever text comes from outside there is markup in it."""
    columns = [replace(column, description=_HOSTILE, unit=_HOSTILE) for column in COLUMNS]
    columns[4] = replace(columns[4], categories=(_HOSTILE,))
    finding = Finding("amount", _HOSTILE, 1, 0.05, _HOSTILE, (_HOSTILE,))
    values = make_values(color=np.array([_HOSTILE] * LENGTH, dtype=object))
    return replace(
        make_compared_report(SHIFTED),
        title=_HOSTILE,
        facts={_HOSTILE: _HOSTILE},
        contract_columns=columns,
        findings=[finding, replace(finding, column=_HOSTILE)],
        profile=profile(columns, values),
        reference_name=_HOSTILE,
    )


def test_markup_in_data_stays_text() -> None:
    harmless, hostile = Page(render(make_compared_report(SHIFTED))), Page(render(_make_hostile()))
    assert {tag for tag, _ in hostile.elements} == {tag for tag, _ in harmless.elements}
    assert {name for _, attributes in hostile.elements for name in attributes} == {
        name for _, attributes in harmless.elements for name in attributes
    }
    assert hostile.words.count(_HOSTILE) > 10


def test_text_that_cannot_be_seen_is_shown_as_escapes() -> None:
    words = Page(render(make_report(title="a\0b\u202ec\ud800d", facts={"x": "one\ntwo"}))).words
    assert r"a\x00b\u202ec\ud800d" in words
    assert r"one\ntwo" in words


def test_the_page_has_no_external_resources_and_no_scripts() -> None:
    html = render(make_compared_report(SHIFTED, findings=[REFUSED]))
    page = Page(html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form"}
    assert not page.values("src")
    assert not re.search(r"https?:|//|@import|url\(", html)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page.values("content")


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_oracle_of_contrast_knows_black_and_white() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_contrast_is_enough_in_light_and_dark() -> None:
    """WCAG 2, level AA: 4.5 for words, 3 for shapes."""
    blocks = re.findall(r":root \{(.*?)\}", render(make_report()), re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    assert len(light) == len(dark) > 10
    for colours in (light, dark):
        for words in ("ink", "muted", "own-words", "reference", "accepted", "drifted", "refused"):
            for ground in ("paper", "card"):
                assert _contrast(colours[words], colours[ground]) >= 4.5, (words, ground)
        for state in ("accepted", "drifted", "refused"):
            assert _contrast(colours[state], colours[f"{state}-tint"]) >= 4.5, state
            assert _contrast(colours["ink"], colours[f"{state}-tint"]) >= 4.5, state
        assert _contrast(colours["muted"], colours["rule-tint"]) >= 4.5
        assert _contrast(colours["own"], colours["card"]) >= 3


def _make_real_report() -> DataReport:
    columns: tuple[Column, ...] = MODEL.contract.dataset_columns
    reference = profile(columns, make_columns(2_000, seed=1))
    return DataReport("flights", {}, columns, (), profile(columns, make_columns(2_000)), reference, "others")


def test_the_same_report_is_the_same_bytes_in_every_process() -> None:
    code = f"import hashlib, runpy; print(hashlib.sha256(runpy.run_path({__file__!r})['render_real']()).hexdigest())"
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


def render_real() -> bytes:
    return render(_make_real_report()).encode()


def test_a_page_of_twenty_columns_is_small() -> None:
    assert len(render_real()) < 300_000
