from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import InputError
from planner.specs.runs.build import load_runs
from planner.specs.runs.spec import Run, RunsFile

HEAD = """\
source: "a table"
cluster: {node_groups: [{device: a100-sxm-80gb, devices_per_node: 8,
  intra_node: {bandwidth: 300 GB/s}, network: {cards: 8, bandwidth: 25 GB/s}}]}
software: megatron-lm-2021
model: {architecture: gpt, vocab_size: 51200, hidden_size: 64, num_attention_heads: 4}
defaults: {recompute: full, seq_length: 2048, model: {num_layers: 8}, degrees: {tensor: 2}}
runs:
"""


def load(folder: Path, *runs: str, head: str = HEAD) -> RunsFile:
    path = folder / "runs.yaml"
    path.write_text(head + "".join(f"  - {run}\n" for run in runs), encoding="utf-8")
    return load_runs(path)


def only(folder: Path, run: str) -> Run:
    file = load(folder, run)
    assert file.errors == ()
    return file.runs[0]


def problem(folder: Path, run: str, *, head: str = HEAD) -> str:
    """The error of the only run, without the path."""
    file = load(folder, run, head=head)
    assert file.runs == ()
    return file.errors[0].message.replace(f"{folder}/", "")


def test_a_run_with_what_the_file_and_defaults_state(tmp_path: Path) -> None:
    run = only(
        tmp_path,
        "{id: a, devices: 16, global_batch_size: 32, micro_batch_size: 4, "
        "measured: {step_s: 1.5, peak_allocated_gib: 20}}",
    )

    assert run.id == "a"
    assert run.model.num_layers == 8
    assert run.model.hidden_size == 64
    assert run.job.software.name == "megatron-lm-2021"
    assert run.job.seq_length == 2048
    assert run.job.global_batch_size == 32
    assert run.cluster.num_devices == run.job.devices == 16
    assert (run.degrees.tensor, run.degrees.data, run.degrees.expert_tensor) == (2, 8, 1)
    assert run.recompute == "full"
    assert run.schedule is None
    assert run.measured.step_s == 1.5
    assert run.measured.peak_allocated_gib == 20
    assert run.measured.peak_device_gib is None
    assert not run.measured.oom


def test_the_run_wins_over_defaults_and_the_file(tmp_path: Path) -> None:
    run = only(
        tmp_path,
        "{id: a, devices: 16, global_batch_size: 32, seq_length: 1024, recompute: none, "
        "software: megatron-core, model: {num_layers: 4, hidden_size: 128}, "
        "degrees: {pipeline: 4}, cluster: dgx-a100-8}",
    )

    assert (run.model.num_layers, run.model.hidden_size, run.model.vocab_size) == (4, 128, 51200)
    assert run.job.software.name == "megatron-core"
    assert run.job.seq_length == 1024
    assert run.recompute == "none"
    assert (run.degrees.tensor, run.degrees.pipeline, run.degrees.data) == (2, 4, 2)
    assert run.cluster.name == "dgx-a100-8"
    assert run.cluster.num_nodes == 2


def test_a_run_merges_over_a_named_model(tmp_path: Path) -> None:
    head = "software: megatron-core\ncluster: dgx-a100-8\nmodel: gpt-1.7b\nruns:\n"
    file = load(
        tmp_path,
        "{id: a, devices: 8, global_batch_size: 8, model: {num_layers: 3}}",
        "{id: b, devices: 8, global_batch_size: 8, model: gpt-3.6b}",
        head=head,
    )

    assert file.errors == ()
    assert (file.runs[0].model.num_layers, file.runs[0].model.hidden_size) == (3, 2304)
    assert file.runs[1].model.hidden_size == 3072


def test_files_beside_the_runs(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "architecture: gpt\nnum_layers: 2\nhidden_size: 8\nnum_attention_heads: 2\n"
        "vocab_size: 100\nseq_length: 64\n",
        encoding="utf-8",
    )
    head = "cluster: dgx-a100-8\nmodel: ./m.yaml\nruns:\n"

    file = load(tmp_path, "{id: a, devices: 8, global_batch_size: 8}", head=head)

    run = file.runs[0]
    assert run.model.hidden_size == 8
    assert run.job.seq_length == 64
    assert run.job.software.name == "megatron-core"
    assert run.assumptions == (
        "run: software megatron-core (nothing states another)",
        "run: micro_batch_size 1 (the run states none)",
    )


def test_devices_from_nodes_degrees_or_the_cluster(tmp_path: Path) -> None:
    batch = "global_batch_size: 8"

    assert only(tmp_path, f"{{id: a, nodes: 3, {batch}}}").job.devices == 24
    assert only(tmp_path, f"{{id: a, degrees: {{data: 4}}, {batch}}}").job.devices == 8
    assert only(tmp_path, f"{{id: a, cluster: dgx-a100-8, {batch}}}").job.devices == 64


def test_stage_layers_of_pseudo_layers(tmp_path: Path) -> None:
    run = only(
        tmp_path,
        "{id: a, devices: 8, global_batch_size: 8, model: {num_layers: 24}, "
        "degrees: {pipeline: 4}, pseudo_layer_boundaries: [0, 7, 14, 20, 30]}",
    )

    assert run.stage_layers == (5, 7, 6, 6)


def test_an_even_cut_over_pseudo_layers_gives_every_stage_as_many_layers(tmp_path: Path) -> None:
    """AMP cuts 24 layers evenly, then adds 2 pseudo-layers to the first stage and 4 to the last
    (DachengLi1/AMP, `predict` in src/cost_het_cluster.py)."""
    run = only(
        tmp_path,
        "{id: a, devices: 8, global_batch_size: 8, model: {num_layers: 24}, "
        "degrees: {pipeline: 4}, pseudo_layer_boundaries: [0, 8, 14, 20, 30]}",
    )

    assert run.stage_layers == (6, 6, 6, 6)


def test_first_and_last_chunks_may_hold_pseudo_layers_only(tmp_path: Path) -> None:
    run = only(
        tmp_path,
        "{id: a, devices: 6, global_batch_size: 8, model: {num_layers: 24}, "
        "degrees: {pipeline: 3}, pseudo_layer_boundaries: [0, 2, 26, 30]}",
    )

    assert run.stage_layers == (0, 24, 0)


def test_stage_layers_are_per_chunk(tmp_path: Path) -> None:
    run = only(
        tmp_path,
        "{id: a, devices: 4, global_batch_size: 8, degrees: {pipeline: 2}, virtual_stages: 2, "
        "schedule: interleaved, stage_layers: [1, 2, 3, 2]}",
    )

    assert run.stage_layers == (1, 2, 3, 2)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (
            "{id: a, devices: 16, global_batch_size: 8, degrees: {pipeline: 3}}",
            "runs.yaml:8:57: runs[0].degrees: 16 devices are not a multiple of "
            "tensor 2 · pipeline 3 · context 1",
        ),
        (
            "{id: a, devices: 16, global_batch_size: 8, degrees: {data: 4}}",
            "runs.yaml:8:57: runs[0].degrees: 16 devices are not "
            "tensor 2 · pipeline 1 · data 4 · context 1",
        ),
        (
            "{id: a, devices: 12, global_batch_size: 8}",
            "runs.yaml:8:5: runs[0]: 12 devices leave a node of group group-0 partly used "
            "(8 devices each); use 16 or 8",
        ),
        (
            "{id: a, devices: 8}",
            "runs.yaml:8:5: runs[0]: no global batch size; give --global-batch-size, "
            "or training.global_batch_size in the model file",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, model: {num_attention_heads: 5}}",
            "runs.yaml:8:76: runs[0].model.num_attention_heads: hidden_size 64 is not a multiple "
            "of 5 attention heads; give head_dim where heads do not divide the hidden size",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, model: {hidden_sise: 5}}",
            "runs.yaml:8:55: runs[0].model.hidden_sise: unknown key; allowed: name, architecture",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, model: gtp-1.7b}",
            "runs.yaml:8:54: runs[0].model: no model file is shipped as 'gtp-1.7b'; "
            "`planner list` shows all, a path works too; did you mean gpt-1.7b?",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, model: gone.yaml}",
            "runs.yaml:8:54: runs[0].model: gone.yaml: no such file",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, software: nothing}",
            "runs.yaml:8:57: runs[0].software: no software file is shipped as 'nothing'; "
            "`planner list` shows all, a path works too",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, stage_layers: [4, 5]}",
            "runs.yaml:8:61: runs[0].stage_layers: 2 chunks where the pipeline has 1",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, stage_layers: [9]}",
            "runs.yaml:8:61: runs[0].stage_layers: 9 layers; the model has 8",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, pseudo_layer_boundaries: [0, 8]}",
            "runs.yaml:8:72: runs[0].pseudo_layer_boundaries: boundaries run from 0 to 14 "
            "(8 layers, 2 pseudo-layers before and 4 after)",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, pseudo_layer_boundaries: [0, 5, 5, 14]}",
            "runs.yaml:8:72: runs[0].pseudo_layer_boundaries: boundaries must increase",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, recompute: ful}",
            "runs.yaml:8:58: runs[0].recompute: found the text 'ful'; "
            "allowed: none, selective, full; did you mean full?",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, measured: {step: 1}}",
            "runs.yaml:8:58: runs[0].measured.step: unknown key; allowed: step_s",
        ),
        (
            "{id: a, devices: 8, global_batch_size: 8, measured: {step_s: 0}}",
            "runs.yaml:8:66: runs[0].measured.step_s: must be above 0, found 0",
        ),
        ("{devices: 8, global_batch_size: 8}", "runs.yaml:8:5: runs[0]: id is missing"),
        ("just text", "runs.yaml:8:5: runs[0]: expected a mapping, found the text 'just text'"),
    ],
)
def test_what_is_wrong_with_a_run(run: str, expected: str, tmp_path: Path) -> None:
    assert problem(tmp_path, run).startswith(expected)


def test_wrong_runs_do_not_hide_the_others(tmp_path: Path) -> None:
    file = load(
        tmp_path,
        "{id: a, devices: 8, global_batch_size: 8}",
        "{id: b, devices: 8, global_batch_size: 8, model: {num_attention_heads: 5}}",
        "{devices: 8}",
        "{id: d, devices: 8, global_batch_size: 8}",
    )

    assert [run.id for run in file.runs] == ["a", "d"]
    assert [error.id for error in file.errors] == ["b", "runs[2]"]
    assert file.source == "a table"
    assert file.path == str(tmp_path / "runs.yaml")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("megatron-lm-2021", "megatron-lm-2020", "4:11: software: no software file is shipped"),
        ("defaults: {", "defaults: {recomputed: 1, ", "6:12: defaults.recomputed: unknown key"),
        ("defaults: {", "defaults: {id: x, ", "6:12: defaults.id: unknown key"),
        ("300 GB/s", "300", "3:27: cluster.node_groups[0].intra_node.bandwidth: bandwidth needs"),
        ("runs:\n", "run:\n", "7:1: run: unknown key; allowed: source, cluster, software"),
    ],
)
def test_what_concerns_the_whole_file_is_raised(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    assert old in HEAD

    with pytest.raises(InputError) as caught:
        load(tmp_path, "{id: a, devices: 8, global_batch_size: 8}", head=HEAD.replace(old, new, 1))

    assert str(caught.value).startswith(f"{tmp_path / 'runs.yaml'}:{expected}")


def test_nothing_names_a_cluster_or_a_model(tmp_path: Path) -> None:
    run = "{id: a, devices: 8, global_batch_size: 8}"

    assert problem(tmp_path, run, head="model: gpt-1.7b\nruns:\n") == (
        "runs.yaml:3:5: runs[0]: cluster is missing, in the run and in the file"
    )
    assert problem(tmp_path, run, head="cluster: dgx-a100-8\nruns:\n") == (
        "runs.yaml:3:5: runs[0]: model is missing, in the run and in the file"
    )


def test_no_runs(tmp_path: Path) -> None:
    path = tmp_path / "runs.yaml"
    path.write_text("cluster: dgx-a100-8\nruns: []\n", encoding="utf-8")

    with pytest.raises(InputError, match="runs: needs at least 1, found 0"):
        load_runs(path)
