"""The runs that come with the planner: enough of them, cited, readable and estimable."""

from __future__ import annotations

from functools import cache

import pytest

from planner.specs.files.catalog import list_shipped, resolve
from planner.specs.runs.build import load_runs
from planner.specs.runs.spec import RunsFile
from planner.validation.validate import Validation, validate_files

FILES = list_shipped("runs")
GENERATIONS = ("v100", "t4", "a100", "a800", "h100", "b200", "b300", "gb200", "gb300")


@cache
def shipped(name: str) -> RunsFile:
    return load_runs(resolve("runs", name))


@cache
def validation() -> Validation:
    return validate_files([resolve("runs", name) for name in FILES])


def test_there_are_enough_runs_from_enough_sources() -> None:
    publications = {str(shipped(name).source).partition(";")[0] for name in FILES}
    assert sum(len(shipped(name).runs) for name in FILES) >= 150
    assert len(publications) >= 8


def test_every_device_generation_is_there() -> None:
    devices = {
        group.device.name
        for name in FILES
        for run in shipped(name).runs
        for group in run.cluster.node_groups
    }
    for generation in GENERATIONS:
        assert any(device.startswith(generation) for device in devices), generation


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_cited_and_every_run_measured(name: str) -> None:
    file = shipped(name)
    assert file.source
    assert len(file.source) > 40
    assert not file.errors
    assert len({run.id for run in file.runs}) == len(file.runs)
    for run in file.runs:
        assert run.measured.model_dump(exclude_defaults=True), run.id


@pytest.mark.parametrize("name", FILES)
def test_runs_of_a_group_differ_in_their_plan_only(name: str) -> None:
    jobs: dict[str, set[object]] = {}
    for run in shipped(name).runs:
        if run.group is not None:
            shape = (run.model.num_layers, run.model.hidden_size, run.model.vocab_size)
            work = (run.job.devices, run.job.global_batch_size, run.job.seq_length)
            jobs.setdefault(run.group, set()).add((shape, work))
    for group, different in jobs.items():
        assert len(different) == 1, group


@pytest.mark.slow
def test_every_shipped_run_can_be_planned() -> None:
    assert not validation().errors


@pytest.mark.slow
def test_the_estimates_beat_the_best_constant_mfu() -> None:
    summary = validation().summary
    assert summary.step.count > 400
    assert summary.skill is not None
    assert summary.skill > 0.5
