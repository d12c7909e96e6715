"""Texts, and tables of what they mean. Missing in, missing out: "" gives "", or NaN where the result is a number."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from athanor.errors import ContractError
from athanor.features.arrays import ml, onnx, op, spox, xp
from athanor.features.kinds import require_numbers, require_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ndonnx import Array
    from numpy.typing import NDArray
    from spox import Var

# Words are joined in a loop: rows have more or fewer of them. The last text guards operators that refuse to have none.
_NORMALIZE: Final = """
<ir_version: 10, opset_import: ["": 21]>
normalize (string[n] texts) => (string[n] normalized) {
    nothing = Constant <value = string {""}> ()
    space = Constant <value = string {" "}> ()
    guard = Constant <value = string[1] {"-"}> ()
    first = Constant <value = int64[1] {0}> ()
    last = Constant <value = int64[1] {-1}> ()
    second = Constant <value = int64 {1}> ()
    guarded = Concat <axis = 0> (texts, guard)
    words, counts = StringSplit <delimiter = " "> (guarded)
    shape = Shape (words)
    most = Gather (shape, second)
    size = Shape (guarded)
    empty = Expand (nothing, size)
    joined = Loop <body = append (int64 position, bool proceed, string[m] text) => (bool proceeds, string[m] longer) {
        proceeds = Identity (proceed)
        word = Gather <axis = 1> (words, position)
        is_first = Equal (text, nothing)
        is_none = Equal (word, nothing)
        is_alone = Or (is_first, is_none)
        glue = Where (is_alone, nothing, space)
        glued = StringConcat (text, glue)
        longer = StringConcat (glued, word)
    }> (most, , empty)
    lowered = StringNormalizer <case_change_action = "LOWER", locale = "C"> (joined)
    normalized = Slice (lowered, first, last)
}
"""


def join(*texts: Array, separator: str = "") -> Array:
    """Texts one after another.

    Args:
        texts: arrays of texts of shape (n,), at least one.
        separator: between two of them.

    Returns:
        Texts of shape (n,); "" where one of them is "".

    Raises:
        ContractError: there is none, or one of them has no texts.

    >>> origins, destinations = xp.asarray(np.array(["JFK", ""])), xp.asarray(np.array(["LAX", "SFO"]))
    >>> join(origins, destinations, separator="-").unwrap_numpy().tolist()
    ['JFK-LAX', '']
    """
    if not texts:
        raise ContractError("join needs at least one array of texts")
    variables = [require_texts(text) for text in texts]
    joined = reduce(lambda one, other: _concat(_concat(one, op.const(separator)), other), variables)
    is_missing = reduce(op.or_, (op.equal(variable, op.const("")) for variable in variables))
    return xp.asarray(op.where(is_missing, op.const(""), joined))


def normalize(texts: Array) -> Array:
    """Texts as one would compare them: without spaces around them, single ones between words, in lower case.

    Only the space U+0020 counts as one, and only A to Z become lower case: other letters would depend on the locales of
    the host. Map texts that have them with `look_up`. It takes 0.1 ms for one row, so share its result.

    Args:
        texts: of shape (n,).

    Returns:
        Texts of shape (n,); "" for those of spaces alone.

    Raises:
        ContractError: the array has no texts.

    >>> normalize(xp.asarray(np.array(["  New   York ", "Zürich", " "]))).unwrap_numpy().tolist()
    ['new york', 'zürich', '']
    """
    (normalized,) = spox.inline(onnx.parser.parse_model(_NORMALIZE))(require_texts(texts)).values()
    return xp.asarray(normalized)


def look_up(values: Array, table: Mapping[Any, str | float], default: str | float | None = None) -> Array:
    """What a constant table says of texts or numbers. The table becomes part of the graph.

    Args:
        values: texts or numbers of shape (n,).
        table: texts or numbers by texts or numbers; no key is missing ("" or NaN).
        default: for values that are not in the table; missing if not given.

    Returns:
        Texts, or float64, of shape (n,). Missing for missing values.

    Raises:
        ContractError: the table is empty, has a key that is missing, or mixes texts and numbers; or the values are of
            another kind than its keys, or the default than its values.

    >>> airports = xp.asarray(np.array(["JFK", "", "BOS"]))
    >>> look_up(airports, {"JFK": 4.0, "EWR": 5.4}).unwrap_numpy().tolist()
    [4.0, nan, nan]
    >>> look_up(airports, {"JFK": "New York"}, default="elsewhere").unwrap_numpy().tolist()
    ['New York', '', 'elsewhere']
    """
    keys = _as_array(list(table), "keys")
    results = _as_array([*table.values(), *([] if default is None else [default])], "values and the default")
    if (keys == "").any() if keys.dtype.kind == "U" else np.isnan(keys).any():
        raise ContractError("a key of the table of look_up is missing; write xp.where(is_missing(x), …, look_up(x, …))")
    # The order of the entries does not change the graph.
    order = np.argsort(keys)
    missing = _missing_like(results)
    found = ml.label_encoder(
        require_texts(values) if keys.dtype.kind == "U" else require_numbers(values).unwrap_spox(),
        keys_tensor=np.concatenate([keys[order], _missing_like(keys)]),
        values_tensor=np.concatenate([results[order], missing]),
        default_tensor=missing if default is None else results[-1:],
    )
    return xp.asarray(found)


def _concat(one: Var, other: Var) -> Var:
    return op.string_concat(one, other)


def _as_array(values: list[str | float], what: str) -> NDArray[Any]:
    is_text = {isinstance(value, str) for value in values}
    if len(is_text) != 1:
        raise ContractError(f"the {what} of the table of look_up must be all texts or all numbers; these are {values}")
    return np.array(values, dtype=np.str_ if is_text.pop() else np.float64)


def _missing_like(values: NDArray[Any]) -> NDArray[Any]:
    return np.array([""]) if values.dtype.kind == "U" else np.array([np.nan])
