"""`athanor contract check` on a branch: each change, its remedy, and the exit status that CI sees."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from support.commands import run
from support.releases import make_release

from athanor.contract.evolution.sources import compile_contract
from athanor.home import Home
from athanor.release.ledger import Assigned, Ledger
from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served, Traffic

_PROTO: Final = """\
syntax = "proto3";
package rain.v1;
import "athanor/contract/v1/options.proto";
import "google/protobuf/timestamp.proto";
service RainService { rpc Predict(PredictRequest) returns (PredictResponse); }
message PredictRequest {
  repeated Hour hours = 1;
  string model_name = 2;
  string semantic_version = 3;
}
message PredictResponse {
  repeated Prediction predictions = 1;
  string model_name = 2;
  string semantic_version = 3;
  string release_digest = 4;
  string request_id = 5;
  string variant = 6;
}
message Prediction {
  optional double probability = 1 [(athanor.contract.v1.column) = {description: "Of rain" roles: ROLE_PREDICTION}];
}
message Hour {
  google.protobuf.Timestamp at = 1 [(athanor.contract.v1.column) = {
    description: "When" roles: [ROLE_KEY, ROLE_EVENT_TIME]
  }];
  optional double wind = 2 [(athanor.contract.v1.column) = {description: "Wind" maximum: 200 roles: ROLE_FEATURE}];
}
message Outcome {
  optional bool rained = 1 [(athanor.contract.v1.column) = {description: "It rained" roles: ROLE_LABEL}];
}
"""


class Repository:
    """A repository with the contract of one project, whose branch `main` has it committed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        self.write(_PROTO)
        self.commit("The first contract")

    def git(self, *arguments: str) -> str:
        author = ("-c", "user.name=An Author", "-c", "user.email=author@example.com")
        command = ["git", *author, *arguments]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, text: str, package: str = "rain.v1") -> None:
        project, version = package.split(".")
        path = self.root / "src/protos" / project / version / f"{project}.proto"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("package rain.v1", f"package {package}"))

    def commit(self, subject: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)

    def check(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        return run("app", "contract", "check", *arguments, "--home", self.root / "home", cwd=self.root)

    def ask(self, *arguments: object, status: int = 0) -> Any:
        done = self.check(*arguments, "--json")
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def _committed(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("committed") / "repository")


@pytest.fixture
def repository(tmp_path: Path, _committed: Repository) -> Repository:
    """On a branch that left `main`."""
    found = Repository.__new__(Repository)
    found.root = Path(shutil.copytree(_committed.root, tmp_path / "repository"))
    found.git("switch", "--quiet", "--create", "branch")
    return found


def _states(answer: Any) -> dict[str, str]:
    return {package["package"]: package["state"] for package in answer["packages"]}


def test_a_breaking_change_fails_the_check_with_its_remedy(repository: Repository) -> None:
    """The step `contracts` of .ci/run is this command."""
    repository.write(_PROTO.replace("maximum: 200", 'maximum: 150 unit: "km/h"'))
    repository.commit("Narrow the wind")
    done = repository.check()
    assert done.returncode == 3
    assert "GATE_FAILED" in done.stderr
    assert "rain.v1 by 2 changes (follow each remedy, or declare the contract as rain.v2)" in done.stderr
    (package,) = repository.ask(status=3)["packages"]
    assert package["state"] == "breaking"
    assert package["changes"] == [
        {
            "subject": "column wind",
            "what": "changed its maximum from 200 to 150",
            "level": "breaking",
            "remedy": "keep the range, or widen it",
        },
        {
            "subject": "column wind",
            "what": "changed its unit from none to km/h",
            "level": "breaking",
            "remedy": "keep it, and add another column",
        },
    ]


def test_compatible_and_uncommitted_changes_are_listed_and_pass(repository: Repository) -> None:
    repository.write(_PROTO.replace("maximum: 200", "maximum: 250"))
    answer = repository.ask("rain")
    assert _states(answer) == {"rain.v1": "compatible"}
    (change,) = answer["packages"][0]["changes"]
    assert (change["what"], change["level"], change["remedy"]) == (
        "changed its maximum from 200 to 250",
        "compatible",
        "",
    )
    assert answer["against"].startswith("HEAD, on the main branch (")
    table = repository.check().stdout
    for words in ("rain.v1", "rained", "compatible", "maximum"):
        assert words in table


def test_the_next_package_may_break_the_former_one(repository: Repository) -> None:
    repository.write(_PROTO.replace("maximum: 200", "maximum: 150"), "rain.v2")
    repository.commit("Declare rain.v2")
    answer = repository.ask()
    assert _states(answer) == {"rain.v1": "same", "rain.v2": "new"}
    assert answer["against"].startswith("the merge base with the main branch (")
    repository.git("rm", "-r", "--quiet", "src/protos/rain/v1")
    assert _states(repository.ask()) == {"rain.v1": "removed", "rain.v2": "new"}


def test_changes_of_main_since_the_branch_left_it_are_no_changes_of_the_branch(repository: Repository) -> None:
    repository.git("switch", "--quiet", "main")
    repository.write(_PROTO.replace("maximum: 200", "maximum: 250"))
    repository.commit("Widen the wind")
    repository.git("switch", "--quiet", "branch")
    repository.git("commit", "--quiet", "--allow-empty", "--message", "Something else")
    assert _states(repository.ask()) == {"rain.v1": "same"}
    assert _states(repository.ask("--against", "main", status=3)) == {"rain.v1": "breaking"}


def test_without_a_main_branch_contracts_are_only_checked(repository: Repository) -> None:
    repository.git("branch", "--quiet", "--delete", "--force", "main")
    done = repository.check("--json")
    assert done.returncode == 0
    assert "Compared with nothing: this repository has no origin/main or main" in " ".join(done.stderr.split())
    answer = json.loads(done.stdout)
    assert (answer["against"], answer["packages"]) == (None, [])
    assert answer["contracts"][0]["package"] == "rain.v1"


def test_an_earlier_file_that_is_no_contract_is_said_and_stops_nothing(repository: Repository) -> None:
    repository.write('syntax = "proto3"; package rain.v1; message Hour {}')
    repository.commit("No contract")
    repository.write(_PROTO)
    (package,) = repository.ask("--against", "HEAD")["packages"]
    assert package["state"] == "unreadable"
    assert package["reason"].startswith("rain/v1/rain.proto needs exactly one service")


def test_a_commit_from_before_the_protos_has_no_contract(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--orphan", "empty")
    repository.git("commit", "--quiet", "--allow-empty", "--message", "Nothing")
    repository.git("switch", "--quiet", "branch")
    assert _states(repository.ask("--against", "empty")) == {"rain.v1": "new"}


@pytest.mark.parametrize(
    ("text", "package", "words"),
    [
        (
            _PROTO.replace("ROLE_LABEL", "ROLE_FEATURE"),
            "rain.v1",
            "one message with a column of ROLE_LABEL",
        ),
        (_PROTO, "rain.v1beta1", "proto package 'rain.v1beta1' has no major version"),
    ],
)
def test_a_contract_that_is_none_is_refused(repository: Repository, text: str, package: str, words: str) -> None:
    repository.write(text, package)
    done = repository.check()
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("weather",), "holds no contract of weather, such as weather/v1/weather.proto; projects that have one: rain"),
        (("--against", "nowhere"), "--against nowhere is no revision of this repository and no release"),
        (("--against", "9.9.9"), "rain.v9 has no version 9.9.9 in"),
    ],
)
def test_what_is_not_there_is_named(repository: Repository, arguments: tuple[str, ...], words: str) -> None:
    done = repository.check(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


def test_outside_of_a_repository_the_folder_is_named(tmp_path: Path) -> None:
    done = run("app", "contract", "check", cwd=tmp_path)
    assert done.returncode == 2
    assert f"there is no src/protos in {tmp_path} or above it" in done.stderr


def test_contracts_are_compared_with_releases(repository: Repository) -> None:
    store = ReleaseStore(Home(repository.root / "home").store_url)
    contract = repository.ask()["contracts"][0]
    assert contract["columns"] == 2
    release = _publish(store, repository)
    for reference in ("champion", "1.0.0", release[:12]):
        answer = repository.ask("--against", reference)
        assert _states(answer) == {"rain.v1": "same"}
    repository.write(_PROTO.replace("maximum: 200", "maximum: 150"))
    repository.write(_PROTO.replace("rain.v1", "snow.v1"), "snow.v1")
    assert _states(repository.ask("--against", "champion", status=3)) == {"rain.v1": "breaking", "snow.v1": "new"}
    assert _states(repository.ask("rain", "--against", "1.0.0", status=3)) == {"rain.v1": "breaking"}
    assert _states(repository.ask("--against", release[:12], status=3)) == {"rain.v1": "breaking"}
    done = repository.check("snow", "--against", release[:12])
    assert done.returncode == 2
    assert f"--against {release[:12]} is a release of rain, and not of snow" in done.stderr


def _publish(store: ReleaseStore, repository: Repository) -> str:
    """Makes the contract of the working tree the champion's; returns the digest of its release."""
    root = repository.root / "src/protos"
    contract = compile_contract(root / "rain/v1/rain.proto", root)
    files = {"contract.json": json.dumps(contract.wire).encode()}
    release = make_release(repository.root / "made", files, model="rain", contract=contract.fingerprint)
    store.publish(release)
    store.write_ledger("rain", Ledger(versions=(Assigned(semantic_version="1.0.0", digest=release.digest, by="me"),)))
    served = Served(digest=release.digest, semantic_version="1.0.0")
    store.write_traffic(Traffic(model="rain", revision=1, champion=served))
    return release.digest
