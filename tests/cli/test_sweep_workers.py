"""A study gives the same bytes whoever works on it: this process, others, Dask, Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from planner import api

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Outcome

STUDY = {
    "model": "gpt-1.7b",
    "job": {"global_batch_size": 32, "nodes": 2},
    "search": {"recompute": "none", "pipeline": 1},
    "sweep": {"cluster": ["dgx-a100-8", "dgx-h100-16"], "network.bandwidth": ["5 GB/s", "50 GB/s"]},
}


@pytest.fixture(scope="module")
def alone() -> str:
    return api.to_text(api.sweep(STUDY).document)


def _needs(module: str, extra: str) -> Any:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed (pip install 'planner[{extra}]'): left out")
    return pytest.importorskip(module)


@pytest.mark.slow
def test_processes_of_this_machine_which_end_with_the_program(alone: str, tmp_path: Path) -> None:
    """Processes that were left behind would hold the pipe open for their five idle minutes."""
    _needs("joblib", "sweep")
    study = tmp_path / "study.json.yaml"
    study.write_text(json.dumps({"name": "study", **STUDY}))
    command = [sys.executable, "-m", "planner", "sweep", str(study), "--jobs", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout == alone
    assert "leaked" not in done.stderr


@pytest.fixture
def dask() -> Iterator[str]:
    distributed = _needs("distributed", "dask")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address.replace("tcp", "dask")


@pytest.mark.slow
def test_a_cluster_of_dask(alone: str, dask: str) -> None:
    assert api.to_text(api.sweep(STUDY, scheduler=dask).document) == alone


@pytest.mark.slow
def test_ray_on_this_machine(alone: str) -> None:
    _needs("ray", "ray")
    assert api.to_text(api.sweep(STUDY, scheduler="ray://").document) == alone


@pytest.mark.parametrize("address", ["spark://head:7077", "head:8786", "dask"])
def test_another_scheduler_is_refused(planner: Any, address: str, tmp_path: Any) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("cluster: dgx-a100-8\nmodel: gpt-1.7b\nsweep: {nodes: [1]}\n")
    _needs("joblib", "sweep")
    outcome: Outcome = planner("sweep", str(study), "--scheduler", address)
    assert outcome.code == 2
    assert f"--scheduler: {address!r} is no address of a scheduler" in outcome.stderr


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    real = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == "joblib":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(api.InputError, match=r"joblib is not installed; pip install 'planner"):
        api.sweep(STUDY, jobs=2)
