"""Numbers, shares, instants and untrusted text, formatted for people."""

import math
from typing import Final

import numpy as np

# Shown where there is no number.
NONE: Final = "\N{EN DASH}"


def number(value: float) -> str:
    """Four significant digits, whole numbers in full: 0.01235, 1998, 336,776, 1.2e+20. A dash for NaN."""
    if math.isnan(value):
        return NONE
    if math.isinf(value) or abs(value) >= 1e15 or 0 < abs(value) < 1e-4:
        shown = f"{value:.4g}"
    elif value == round(value) or abs(value) >= 1_000:
        shown = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.0f}"
    else:
        shown = f"{value:.{3 - math.floor(math.log10(abs(value)))}f}".rstrip("0").rstrip(".")
    return shown.replace("-", "\N{MINUS SIGN}") if shown != "-0" else "0"


def count(value: int) -> str:
    return f"{value:,}"


def share(value: float) -> str:
    """In percent with two digits; 0% and 100% are exact, anything in between shows as such. A dash for NaN."""
    if math.isnan(value):
        return NONE
    if 0 < value < 0.00005:
        return "<0.01%"
    if 0.99995 <= value < 1:
        return ">99.99%"
    return f"{value:.2%}".replace(".00%", "%")


def probability(value: float) -> str:
    """A p-value: "p = 0.021", "p < 0.001"; a dash for NaN."""
    if math.isnan(value):
        return NONE
    if value > 0.999:
        return "p > 0.999"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def instant(value: np.datetime64 | None) -> str:
    """To the second, in UTC: 2013-01-01 10:15:00; a dash for none."""
    if value is None or np.isnat(value):
        return NONE
    return str(value.astype("datetime64[s]")).replace("T", " ")


def plural(how_many: int, one: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count(how_many)} {one}{'' if how_many == 1 else 's'}"


def shorten(text: str, length: int) -> str:
    """At most `length` characters; a cut text ends in an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
