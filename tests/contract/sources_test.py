"""Everything that is wrong with a contract is named at once, and a .proto file is checked without its project."""

from pathlib import Path
from typing import Final

import pytest
from support.protos import Toy

from athanor.contract.evolution.sources import compile_contract, find_protos
from athanor.errors import ContractError, NotFoundError


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
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# It imports what its folder does not hold.
_PROTO: Final = """\
syntax = "proto3";
package toy.v1;
import "athanor/contract/v1/options.proto";
message Row { optional double amount = 1; }
service ToyService { rpc Predict(Row) returns (Row); }
message Other { int32 x = 1; }
"""


def test_a_file_that_does_not_compile_is_refused_with_its_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = _write(tmp_path, "toy/v1/toy.proto", _PROTO.replace("int32 x", "int33 x"))
    with pytest.raises(ContractError, match=r"toy\.proto does not compile; protoc says why above"):
        compile_contract(path, tmp_path)
    assert 'toy/v1/toy.proto:6:17: "int33" is not defined' in capfd.readouterr().err


def test_a_file_without_an_outcome_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "toy/v1/toy.proto", _PROTO)
    with pytest.raises(ContractError, match=r"needs exactly one message with a column of ROLE_LABEL.* it has none"):
        compile_contract(path, tmp_path)


def test_a_file_without_a_service_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "toy/v1/toy.proto", _PROTO.replace("service", "// service"))
    with pytest.raises(ContractError, match=r"needs exactly one service with a method Predict, it has none"):
        compile_contract(path, tmp_path)


def test_the_package_is_that_of_the_folders(tmp_path: Path) -> None:
    path = _write(tmp_path, "toy/v2/toy.proto", _PROTO)
    with pytest.raises(ContractError, match=r"declares `package toy\.v1`; by its folders it must be `package toy\.v2`"):
        compile_contract(path, tmp_path)


def test_a_package_without_a_number_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "toy/v1beta1/toy.proto", _PROTO.replace("toy.v1", "toy.v1beta1"))
    with pytest.raises(ContractError, match=r"proto package 'toy\.v1beta1' has no major version"):
        compile_contract(path, tmp_path)


def test_files_of_contracts_are_found_by_convention(tmp_path: Path) -> None:
    names = ("rain/v1/rain.proto", "toy/v1/toy.proto", "toy/v2/toy.proto")
    paths = tuple(_write(tmp_path, name, _PROTO) for name in names)
    for other in ("toy/v2/parts.proto", "athanor/contract/v1/options.proto", "inference/open_inference.proto"):
        _write(tmp_path, other, _PROTO)
    assert find_protos(tmp_path) == paths
    assert find_protos(tmp_path, ["toy"]) == paths[1:]
    with pytest.raises(NotFoundError, match=r"no contract of snow, .* projects that have one: rain, toy"):
        find_protos(tmp_path, ["toy", "snow"])
