"""Python and the command line get the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner import api
from planner.api.keywords import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.conftest import Outcome

    Run = Callable[..., Outcome]

INPUTS = ("--cluster", "dgx-a100-8", "--model", "gpt-7.5b")
JOB = ("--nodes", "2", "--global-batch-size", "64", "--seq-length", "1024", "--headroom", "10%")
DATA = Path(__file__).parents[1] / "importers" / "data"


@pytest.fixture
def plans(found: api.FoundPlans, tmp_path: Path) -> str:
    path = tmp_path / "plans.json"
    api.write_plans(found, path)
    return str(path)


def test_search(planner: Run, found: api.FoundPlans, tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    told = planner("search", *INPUTS, *JOB, "--top", "3", "--json", "--output", str(path))
    assert told.code == 0
    assert api.to_text(found) == told.stdout == path.read_text(encoding="utf-8")
    api.write_plans(found, path)
    assert path.read_text(encoding="utf-8") == told.stdout


def test_a_restricted_search_of_the_worst_case(planner: Run) -> None:
    restricted = "--tensor 2,4,2 --schedule interleaved,1f1b --sequence-parallel on --robust 20%"
    told = planner("search", *INPUTS, "--nodes", "2", *restricted.split(), "--top", "1", "--json")
    found = api.search(
        "dgx-a100-8",
        "gpt-7.5b",
        nodes=2,
        tensor=[2, 4, 2],
        schedule=("interleaved", "1f1b"),
        sequence_parallel=True,
        robust=0.2,
        top=1,
    )
    assert api.to_text(found) == told.stdout
    assert found.search.robustness is not None
    assert found.best.ranked.worst_step_s is not None


def test_a_search_in_which_nothing_fits(planner: Run) -> None:
    told = planner("search", "--cluster", "dgx-a100-8", "--model", "gpt3-175b", "--nodes", "1",
                   "--global-batch-size", "16", "--schedule", "1f1b", "--micro-batch-size", "1",
                   "--tensor", "4,8", "--json")  # fmt: skip
    found = api.search(
        "dgx-a100-8",
        "gpt3-175b",
        nodes=1,
        global_batch_size=16,
        schedule=("1f1b",),
        micro_batch_size=(1,),
        tensor=(4, 8),
    )
    assert (told.code, api.to_text(found)) == (1, told.stdout)
    assert found.plans == ()
    with pytest.raises(api.NothingFits, match=r"^nothing fits: stage 0 needs "):
        _ = found.best


def test_estimate_from_decisions(planner: Run, tmp_path: Path) -> None:
    hosts, trace = tmp_path / "hosts", tmp_path / "trace.json"
    hosts.write_text("a100-1\na100-0  # the other way round\n")
    flags = "--tensor 4 --pipeline 2 --stage-layers 17,19 --recompute full --recompute-layers 2"
    told = planner("estimate", *INPUTS, *JOB, *flags.split(), "--hosts", str(hosts),
                   "--timeline", str(trace), "--json")  # fmt: skip
    assert (told.code, told.stderr) == (0, "")
    priced = api.estimate(
        "dgx-a100-8",
        "gpt-7.5b",
        nodes=2,
        global_batch_size=64,
        seq_length=1024,
        headroom=0.1,
        tensor=4,
        pipeline=2,
        stage_layers=(17, 19),
        recompute="full",
        recompute_layers=2,
        hosts=["a100-1", "a100-0"],
    )
    assert api.to_text(priced) == told.stdout
    assert api.timeline(priced) == trace.read_text(encoding="utf-8")


def test_estimate_of_a_plan_in_any_form(planner: Run, found: api.FoundPlans, plans: str) -> None:
    told = planner("estimate", *INPUTS, "--plan", f"{plans}#2", "--json")
    assert (told.code, told.stderr) == (0, "")
    second = found.plans[1]
    for plan in (f"{plans}#2", api.load_plan(f"{plans}#2"), api.load_plans(plans)[1], second):
        assert api.to_text(api.estimate("dgx-a100-8", "gpt-7.5b", plan=plan)) == told.stdout
    bare = api.estimate(
        "dgx-a100-8", "gpt-7.5b", plan=second.plan, seq_length=1024, headroom=0.1, nodes=2
    )
    assert api.to_text(bare) == told.stdout


def test_estimate_of_a_script(planner: Run) -> None:
    script = DATA / "gpt3_175b.sh"
    told = planner("estimate", "--cluster", "dgx-a100-128", "--plan", str(script), "--json")
    said: list[str] = []
    priced = api.estimate("dgx-a100-128", plan=script, note=said.append)
    assert api.to_text(priced) == told.stdout
    assert [f"note: {line}" for line in said] == told.stderr.splitlines()
    launched = api.read_launch(script, "dgx-a100-128")
    assert launched.plan == priced.plan
    assert launched.notes.left_out


def test_check(planner: Run, plans: str, found: api.FoundPlans) -> None:
    told = planner("check", f"{plans}#1", f"{plans}#2", "--within-of-best", "1%", "--json")
    limits = api.CheckLimits(within_of_best=0.01)
    checked = [api.check(f"{plans}#{rank}", limits=limits) for rank in (1, 2)]
    assert api.to_text(checked) == told.stdout
    verdicts = [one["passed"] for one in json.loads(told.stdout)["plans"]]
    assert [one.passed for one in checked] == verdicts
    asked = ("--headroom", "90%", "--select", "PL0", "--json")
    tight = planner("check", *INPUTS, f"{plans}#1", *asked)
    failed = api.check(
        f"{plans}#1",
        cluster=api.load_cluster("dgx-a100-8"),
        model="gpt-7.5b",
        headroom=0.9,
        limits=api.CheckLimits(selection=api.select_rules("PL0")),
    )
    assert (tight.code, api.to_text(failed)) == (1, tight.stdout)
    assert failed.findings[0].region.line is not None
    by_value = api.check(found.plans[0], limits=api.CheckLimits(within_of_best=0.01))
    assert by_value.estimate == checked[0].estimate
    assert by_value.slower_than_best == checked[0].slower_than_best


def test_check_of_a_script(planner: Run) -> None:
    script = str(DATA / "gpt3_175b.sh")
    told = planner("check", script, "--cluster", "dgx-a100-128", "--json")
    checked = api.check(script, cluster="dgx-a100-128")
    assert api.to_text(checked) == told.stdout


@pytest.mark.parametrize("name", sorted(api.export_formats()))
def test_export(planner: Run, found: api.FoundPlans, plans: str, name: str) -> None:
    told = planner("export", f"{plans}#2", "--format", name)
    forms = (f"{plans}#2", api.load_plan(f"{plans}#2"), found.plans[1])
    if told.code:
        for plan in forms:
            with pytest.raises(api.Inexpressible) as error:
                api.export(plan, name)
            assert told.stderr == f"error: {error.value}\n"
        return
    for plan in forms:
        said: list[str] = []
        assert api.export(plan, name, note=said.append) == told.stdout
        assert [f"note: {line}" for line in said] == told.stderr.splitlines()


def test_export_of_all_formats(planner: Run, plans: str, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    assert planner("export", plans, "--format", "all", "-o", str(folder)).code == 0
    written = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert api.export_all(plans) == written


@pytest.mark.parametrize(
    "described", [str(DATA / "gpt3_175b.sh"), str(DATA / "bridge_llama3_8b.txt"), "llama3 8B"]
)
def test_import_of_models(planner: Run, described: str, tmp_path: Path) -> None:
    options = ("--vocab-size", "51200") if described.endswith(".sh") else ()
    size = 51200 if options else None
    imported = api.import_model(described, vocab_size=size)
    assert planner("import", "model", described, *options).stdout == imported.text
    as_json = planner("import", "model", described, *options, "--json").stdout
    assert as_json == api.to_text(imported)
    api.write_import(imported, tmp_path / "model.yaml")
    assert api.load_model(tmp_path / "model.yaml").num_layers == imported.spec.num_layers


def test_import_of_a_cluster(planner: Run, tmp_path: Path) -> None:
    matrix, asked, mine = str(DATA / "matrix.csv"), tmp_path / "asked", tmp_path / "mine"
    for folder in (asked, mine):
        folder.mkdir()
    options = ("--device", "a100-sxm-80gb", "--cards", "4")
    told = planner("import", "cluster", matrix, *options, "-o", str(asked / "ours.yaml"))
    assert told.code == 0
    target = mine / "ours.yaml"
    imported = api.import_cluster(matrix, device="a100-sxm-80gb", cards=4, target=target)
    api.write_import(imported, target)
    for name in ("ours.yaml", "ours-bandwidth.csv"):
        assert (asked / name).read_bytes() == (mine / name).read_bytes()
    assert api.load_cluster(target).num_nodes == 3


def test_validate(planner: Run) -> None:
    told = planner("validate", "megatron-sc21", "amp-t4", "--json")
    assert api.to_text(api.validate(["megatron-sc21", "amp-t4"])) == told.stdout


def test_calibrate(planner: Run, tmp_path: Path) -> None:
    path = tmp_path / "device.yaml"
    told = planner("calibrate", "flagperf-a800", "--device-file", str(path))
    calibrated = api.calibrate(["flagperf-a800"])
    assert (calibrated.device_file is None) == (told.code == 1)
    if calibrated.device_file is not None:
        assert calibrated.device_file == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema(planner: Run, kind: str) -> None:
    assert api.to_text(api.schema(kind)) == planner("schema", kind).stdout


def test_the_same_answer_twice_is_the_same_bytes() -> None:
    cluster, model = api.load_cluster("pipette-v100-16"), api.load_model("gpt-3.6b")
    first, second = (
        api.to_text(api.search(cluster, model, nodes=4, tensor=(2, 4), top=3)) for _ in range(2)
    )
    assert first == second
