"""Everything that is wrong with a contract is named at once, and a .proto file is checked without its project."""

from pathlib import Path
from typing import Final

import pytest
from support.protos import Toy

from athanor.contract.check import check
from athanor.errors import ContractError


def test_all_problems_are_named_at_once_each_with_its_remedy() -> None:
    toy = Toy()
    toy.field("amount").proto3_optional = False
    toy.column("count").ClearField("description")
    toy.column("count").maximum = -1
    toy.field("code").ClearField("options")
    toy.column("color").pattern = "["
    toy.column("won").may_be_missing = True
    toy.column("won").ClearField("roles")
    toy.column("probability").drift_budget = -1
    toy.remove("variant")
    toy.remove("request_id")
    with pytest.raises(ContractError) as error:
        toy.read()
    assert str(error.value).splitlines() == [
        "toy.v1.PredictResponse needs a field `string request_id`; declare it",
        "toy.v1.PredictResponse needs a field `string variant`; declare it",
        "toy.v1.Row.amount is not `optional`; declare it so, or zero and missing look the same",
        "toy.v1.Row.count: description is empty, describe the column in one sentence; minimum 0 is above maximum -1",
        "toy.v1.Row.color: categories and pattern exclude each other, keep one; "
        "pattern '[' is not a regular expression: unterminated character set at position 0",
        "toy.v1.Row.code has no column options; add [(athanor.contract.v1.column) = {description: …}]",
        "toy.v1.Prediction.probability: drift_budget must be finite and 0 or more: -1",
        "toy.v1.Outcome needs exactly one column with ROLE_LABEL, it has none; give it to one",
    ]


def test_a_field_can_have_several_problems() -> None:
    toy = Toy()
    toy.field("amount").proto3_optional = False
    toy.field("amount").ClearField("options")
    with pytest.raises(ContractError) as error:
        toy.read()
    assert [line.split(" ", 1)[0] for line in str(error.value).splitlines()] == ["toy.v1.Row.amount"] * 2


def _write(folder: Path, name: str, text: str) -> Path:
    """A .proto file below a root that has the options too."""
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


_PROTO: Final = """\
syntax = "proto3";
package toy.v1;
message Row { optional double amount = 1; }
service ToyService { rpc Predict(Row) returns (Row); }
message Other { int32 x = 1; }
"""


def test_a_file_that_does_not_compile_is_refused_with_its_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = _write(tmp_path, "toy/v1/toy.proto", _PROTO.replace("int32 x", "int33 x"))
    with pytest.raises(ContractError, match=r"toy\.proto does not compile; protoc says why above"):
        check(path, tmp_path)
    assert 'toy/v1/toy.proto:5:17: "int33" is not defined' in capfd.readouterr().err


def test_a_file_without_an_outcome_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "toy/v1/toy.proto", _PROTO)
    with pytest.raises(ContractError, match=r"needs exactly one message with a column of ROLE_LABEL.* it has none"):
        check(path, tmp_path)


def test_a_file_without_a_service_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "toy/v1/toy.proto", _PROTO.replace("service", "// service"))
    with pytest.raises(ContractError, match=r"needs exactly one service with a method Predict, it has none"):
        check(path, tmp_path)
