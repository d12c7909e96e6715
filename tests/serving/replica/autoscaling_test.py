"""As many replicas as keep each busy for a target share of its time."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.serve.config import AutoscalingConfig
from support.properties import PROPERTY

from athanor.serving.replica.autoscaling import ScaleByUtilisation, Utilisation, autoscaling_config, replicas_for
from athanor.serving.setup.settings import ServingSettings, make_settings


@dataclass
class Context:
    """The part of Serve's context that a policy reads."""

    target_num_replicas: int = 3
    aggregated_metrics: dict[str, dict[str, float]] | None = field(default_factory=dict)


def _decide(context: Context, target: float = 0.7) -> int:
    number, state = ScaleByUtilisation(target)(context)  # type: ignore[arg-type]  # it has what is read
    assert state == {}
    return number


@pytest.mark.parametrize(
    ("work", "target", "replicas"),
    [
        (0.0, 0.7, 1),
        (0.5, 0.7, 1),
        (0.7, 0.7, 1),
        (0.73, 0.7, 1),
        (0.75, 0.7, 2),
        (1.0, 0.7, 2),
        (1.4, 0.7, 2),
        (1.43, 0.7, 2),
        (1.5, 0.7, 3),
        (3.0, 1.0, 3),
        (4.0, 0.5, 8),
    ],
)
def test_the_number_of_replicas_follows_the_work(work: float, target: float, replicas: int) -> None:
    assert replicas_for(work, target) == replicas


@PROPERTY
@given(st.floats(0, 64), st.floats(0, 64), st.floats(0.01, 1))
def test_more_work_never_asks_for_fewer(less: float, more: float, target: float) -> None:
    low, high = sorted((less, more))
    assert 1 <= replicas_for(low, target) <= replicas_for(high, target)


@PROPERTY
@given(st.floats(0, 64), st.floats(0.01, 1))
def test_each_is_busy_for_about_its_target_and_no_replica_is_superfluous(work: float, target: float) -> None:
    replicas = replicas_for(work, target)
    assert work / replicas <= target * 1.05 + 1e-9
    assert replicas == 1 or work / (replicas - 1) > target


def test_work_is_summed_over_replicas() -> None:
    assert _decide(Context(aggregated_metrics={"utilisation": {"a": 0.9, "b": 0.8, "c": 0.1}})) == 3


@pytest.mark.parametrize("metrics", [None, {}, {"utilisation": {}}, {"queue": {"a": 9.0}}])
def test_without_metrics_the_number_stays(metrics: dict[str, dict[str, float]] | None) -> None:
    assert _decide(Context(5, metrics)) == 5


def test_a_busy_thread_differs_from_a_waiting_one() -> None:
    utilisation = Utilisation()
    time.sleep(0.2)
    waited = utilisation.measure()["utilisation"]
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        pass
    worked = utilisation.measure()["utilisation"]
    assert 0 <= waited < worked <= 1


def test_the_share_is_of_the_time_since_the_last_call() -> None:
    end = time.thread_time() + 0.05
    utilisation = Utilisation()
    while time.thread_time() < end:
        pass
    assert utilisation.measure()["utilisation"] > 0
    time.sleep(0.1)
    assert utilisation.measure()["utilisation"] < 0.5


def _settings(tmp_path: Path, **changed: Any) -> ServingSettings:
    return make_settings(service="delays", models=("delays",), store=tmp_path / "store", folder=tmp_path, **changed)


@pytest.mark.parametrize("changed", [{}, {"replicas": 4}, {"replicas": 4, "max_replicas": 4}])
def test_a_fixed_number_does_not_scale(tmp_path: Path, changed: dict[str, int]) -> None:
    assert autoscaling_config(_settings(tmp_path, **changed)) is None


def test_serve_accepts_the_configuration(tmp_path: Path) -> None:
    settings = _settings(
        tmp_path,
        replicas=2,
        max_replicas=6,
        target_utilisation=0.4,
        upscale_delay_s=3,
        downscale_delay_s=60,
    )
    config = AutoscalingConfig(**(autoscaling_config(settings) or {}))
    assert (config.min_replicas, config.max_replicas) == (2, 6)
    assert (config.upscale_delay_s, config.downscale_delay_s) == (3, 60)
    policy = config.policy.get_policy()
    made = policy(**config.policy.policy_kwargs) if isinstance(policy, type) else policy
    context: Any = Context(aggregated_metrics={"utilisation": {"a": 0.4, "b": 0.4}})
    assert made(context)[0] == 2
