"""The plan document: shape, bytes, schema, and the way back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.plan import (
    DATA_SHARDINGS,
    Degrees,
    Placement,
    Plan,
    RankedPlan,
    Recompute,
    Stage,
)
from planner.plan_document import (
    RecordedFile,
    RecordedInputs,
    RecordedJob,
    plan_schema,
    read_plan,
    to_document,
    to_text,
)
from planner.plan_document.answer import read_answer
from planner.solver import EngineRecord, SolverRecord
from planner.specs.job import OPTIMIZERS
from planner.specs.names import HOST_PATTERN, NAME_PATTERN

if TYPE_CHECKING:
    from tests.conftest import Golden, Samples


HOSTS = st.from_regex(HOST_PATTERN, fullmatch=True)
NAMES = st.from_regex(NAME_PATTERN, fullmatch=True)
VALIDATOR = jsonschema.Draft202012Validator(plan_schema())


def validate(document: dict[str, Any]) -> None:
    VALIDATOR.validate(document)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(plan_schema())


def test_document_of_a_search(samples: Samples, golden: Golden) -> None:
    highs = EngineRecord(name="highs", version="1.11.0", answered=2, passed_over="hung: no answer")
    cbc = EngineRecord(name="cbc", version=None, answered=0, passed_over="missing: not here")
    solver = SolverRecord(programs=3, unanswered=1, engines=(highs, cbc))
    found = replace(samples.found(), solver=solver)
    document = to_document(samples.inputs(), found.plans, search=found)
    validate(document)
    golden.check("plans.json", to_text(document))


def test_document_when_nothing_fits(samples: Samples) -> None:
    nothing = samples.nothing()
    document = to_document(samples.inputs(), nothing.plans, search=nothing)
    validate(document)
    assert document["plans"] == []
    assert document["search"]["nearest"][0]["reason"] == "stage 0 needs 106.2 GiB of 80.0"
    assert document["search"]["nearest"][0]["estimate"]["memory"]["fits"] is False
    assert [change["description"] for change in document["search"]["changes"]] == [
        "recompute all layers (--recompute full)",
        "run on 128 nodes instead of 64 (--nodes 128)",
    ]


def test_document_of_an_estimate_has_no_search(samples: Samples) -> None:
    alone = replace(samples.ranked()[0], tied_with_best=None)
    document = to_document(samples.inputs(), (alone,))
    validate(document)
    assert list(document) == ["schema", "planner_version", "inputs", "plans"]
    assert list(document["plans"][0]) == [
        "rank",
        "degrees",
        "micro_batch_size",
        "num_microbatches",
        "schedule",
        "virtual_stages",
        "sequence_parallel",
        "data_sharding",
        "recompute",
        "stages",
        "placement",
        "estimate",
    ]


def test_how_sure_an_estimate_is(samples: Samples) -> None:
    first, *_ = samples.ranked()
    document = to_document(samples.inputs(), (first,))
    assert document["plans"][0]["tied_with_best"] is True
    estimate = document["plans"][0]["estimate"]
    peak_bytes = estimate["memory"]["peak_bytes"]
    assert estimate["confidence"] == {
        "step_s": {"low": pytest.approx(27.9), "high": pytest.approx(32.4), "level": 0.9},
        "memory_peak_bytes": {
            "low": round(0.96 * peak_bytes),
            "high": round(1.05 * peak_bytes),
            "level": 0.9,
        },
        "notes": ["no measured run with schedule 1f1b"],
        "evidence": {"steps": 469, "steps_alike": 2, "peaks": 106, "device_peaks": 52},
    }
    unsure = replace(first, estimate=replace(first.estimate, confidence=None))
    document = to_document(samples.inputs(), (unsure,))
    validate(document)
    assert document["plans"][0]["estimate"]["confidence"] is None


def test_sums_survive_rounding(samples: Samples) -> None:
    ranked = samples.ranked()[0]
    step_s = 1 / 3 + 1e-7
    estimate = samples.estimate(ranked.plan, step_s=step_s)
    document = to_document(
        samples.inputs(), (RankedPlan(rank=1, plan=ranked.plan, estimate=estimate),)
    )
    read = json.loads(to_text(document))["plans"][0]["estimate"]
    assert sum(read["time"].values()) == pytest.approx(read["step_s"], rel=1e-6)
    assert read["step_s"] == pytest.approx(step_s, rel=1e-8)
    for stage in read["memory"]["per_stage"]:
        assert sum(stage["components"].values()) == stage["peak_bytes"]
        assert stage["peak_bytes"] == stage["device_peak_bytes"]


def test_text_ignores_the_last_bits_of_a_float() -> None:
    assert to_text({"a": 0.1 + 0.2}) == to_text({"a": 0.3}) == '{"a": 0.3}\n'
    assert to_text({"a": -0.0}) == '{"a": 0.0}\n'


def test_text_refuses_numbers_json_cannot_hold() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_text({"a": float("nan")})


def test_text_is_ascii_and_keeps_long_plain_lists_on_one_line() -> None:
    hosts = [f"knoten-ä-{i}" for i in range(40)]
    text = to_text({"hosts": hosts, "deep": {"x": [[0, 1]] * 30}})
    assert text.isascii()
    assert json.loads(text) == {"hosts": hosts, "deep": {"x": [[0, 1]] * 30}}
    assert [len(line) > 100 for line in text.splitlines()].count(True) == 1


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    size = st.integers(1, 5)
    pipeline, virtual_stages = draw(size), draw(st.integers(1, 3))
    cuts, start = [], 0
    for layers in draw(
        st.lists(
            st.integers(0, 4),
            min_size=pipeline * virtual_stages,
            max_size=pipeline * virtual_stages,
        )
    ):
        cuts.append((start, start + layers))
        start += layers
    stages = tuple(
        Stage(
            index=index,
            chunks=tuple(cuts[index::pipeline]),
            embedding=draw(st.booleans()),
            head=draw(st.booleans()),
        )
        for index in range(pipeline)
    )
    granularity = draw(st.sampled_from(("none", "selective", "full")))
    recomputed = tuple(
        draw(st.integers(0, stage.num_layers)) if granularity == "full" else 0 for stage in stages
    )
    return Plan(
        degrees=Degrees(
            tensor=draw(size),
            pipeline=pipeline,
            data=draw(size),
            context=draw(size),
            expert=draw(size),
            expert_tensor=draw(size),
        ),
        micro_batch_size=draw(size),
        num_microbatches=draw(st.integers(1, 10**6)),
        schedule=draw(st.text(min_size=1)),
        virtual_stages=virtual_stages,
        sequence_parallel=draw(st.booleans()),
        data_sharding=draw(st.sampled_from(DATA_SHARDINGS)),
        recompute=Recompute(granularity=granularity, layers_per_stage=recomputed),
        stages=stages,
        placement=Placement(
            order=draw(st.text()),
            hosts=tuple(draw(st.lists(HOSTS, min_size=1, max_size=4))),
            ranks=draw(st.text()),
        ),
    )


@st.composite
def inputs(draw: st.DrawFn) -> RecordedInputs:
    file = st.builds(
        RecordedFile, name=NAMES, sha256=st.text("0123456789abcdef", min_size=64, max_size=64)
    )
    count = st.integers(1, 10**6)
    job = st.builds(
        RecordedJob,
        devices=count,
        global_batch_size=count,
        seq_length=count,
        precision=st.sampled_from(("fp16", "bf16", "fp8")),
        optimizer=st.sampled_from(OPTIMIZERS),
        software=NAMES,
        software_sha256=st.none(),
        headroom=st.sampled_from((0.0, 0.05, 0.123456789)),
        expert_imbalance=st.sampled_from((1.0, 1.25)),
    )
    return RecordedInputs(
        cluster=draw(file),
        model=draw(file),
        job=draw(job),
        assumptions=tuple(draw(st.lists(st.text(), max_size=2))),
    )


@settings(max_examples=50, deadline=None)
@given(plan=plans(), recorded=inputs())
def test_a_plan_comes_back_as_it_was(
    samples: Samples,
    tmp_path_factory: pytest.TempPathFactory,
    plan: Plan,
    recorded: RecordedInputs,
) -> None:
    path = tmp_path_factory.mktemp("plans") / "plans.json"
    ranked = RankedPlan(rank=1, plan=plan, estimate=samples.estimate(plan))
    document = to_document(recorded, (ranked,))
    validate(document)
    path.write_text(to_text(document), encoding="utf-8")
    read = read_plan(str(path))
    assert read.plan == plan
    assert read.inputs == recorded


@pytest.fixture
def written(samples: Samples, tmp_path: Path) -> Path:
    found = samples.found()
    path = tmp_path / "plans.json"
    path.write_text(to_text(to_document(samples.inputs(), found.plans, search=found)))
    return path


def test_rank_counts_from_one(written: Path, samples: Samples) -> None:
    first, second, _ = (ranked.plan for ranked in samples.ranked())
    assert read_plan(f"{written}").plan == first
    assert read_plan(f"{written}#1").plan == first
    read = read_plan(f"{written}#2")
    assert (read.plan, read.rank, read.place) == (second, 2, f"{written}#2")


def test_a_hash_in_the_file_name_is_no_rank(written: Path) -> None:
    odd = written.rename(written.with_name("plans#a.json"))
    assert read_plan(str(odd)).rank == 1
    assert read_plan(f"{odd}#3").rank == 3


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        ("4", ": plans: rank 4 is asked for, but the document holds 3 plans"),
        ("0", 'plans.json#0: "#0" is not a rank; ranks are whole numbers from 1, as in'),
        ("-1", 'plans.json#-1: "#-1" is not a rank; ranks are'),
        ("1.5", 'plans.json#1.5: "#1.5" is not a rank; ranks are'),
        ("", 'plans.json#: "#" is not a rank; ranks are'),
        ("9999999999", '"#9999999999" is not a rank; ranks are'),
    ],
)
def test_bad_rank(written: Path, rank: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        read_plan(f"{written}#{rank}")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the file is empty; a plan document is needed"),
        (b" \n", ": the file is empty; a plan document is needed"),
        (b"\xff\xfe\x00", ":1:1: not UTF-8 text; save the file as UTF-8"),
        (b'{"schema": 1,\n  oops}', ":2:3: not valid JSON: expecting property name enclosed in"),
        (b"name: dgx", ":1:1: not valid JSON: expecting value"),
        (b"[" * 100_000, ":1:202: nested more than 200 deep"),
        (b'{"a": NaN}', ":1:7: NaN is not a number"),
        (b'{"a": ' + b"9" * 5000 + b"}", ":1:7: number 999999999999… has 5000 digits"),
        (b'{"a": 1, "a": 2}', ":1:10: key 'a' is given twice in one mapping"),
        (b"[]", ":1:1: an object is needed, found a list"),
        (b"{}", ':1:1: is no plan document: "schema" is missing'),
        (b'{"schema": 3}', ":1:12: schema: text is needed, found 3"),
        (
            b'{"schema": "planner/plans/9"}',
            ':1:12: schema: "planner/plans/1" is needed, found "planner/plans/9"',
        ),
        (
            b'{"schema": "planner/plans/1", "plans": []}',
            ":1:40: plans: the document holds no plan: nothing fitted when it was written",
        ),
    ],
)
def test_files_that_are_no_plan_document(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_plan(str(path))
    assert str(error.value).startswith(f"{path}{message}")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        read_plan(str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="is a folder; a file is needed"):
        read_plan(f"{tmp_path}#1")
    with pytest.raises(InputError, match="cannot be read: embedded null"):
        read_plan("a\0b")


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("degrees", "tensor"), "8", 'degrees.tensor: a whole number is needed, found "8"'),
        (("degrees", "tensor"), 0, "degrees.tensor: a whole number from 1 to 1,000,000 is needed"),
        (("degrees", "tensor"), 10**30, "degrees.tensor: a whole number from 1 to 1,000,000 is"),
        (("degrees", "tensor"), True, "degrees.tensor: a whole number is needed, found true"),
        (("degrees", "tensor"), 8.0, "degrees.tensor: a whole number is needed, found 8.0"),
        (("degrees", "tensr"), 8, 'degrees: "tensr" is not known here; did you mean "tensor"?'),
        (("degrees",), None, "degrees: an object is needed, found null"),
        (("micro_batch_size",), -1, "micro_batch_size: a whole number from 1 to 1,000,000 is"),
        (("sequence_parallel",), "on", 'sequence_parallel: true or false is needed, found "on"'),
        (("data_sharding",), "zero-1", "data_sharding: one of none, optimizer, optimizer+"),
        (("recompute", "granularity"), "some", "recompute.granularity: one of none, selective"),
        (("recompute", "layers_per_stage"), [0], "recompute.layers_per_stage: 1 entries for a"),
        (("recompute", "layers_per_stage"), [1, 0, 0, 0], "recompute: layers are recomputed only"),
        (("stages",), [], "stages: 0 stages for a pipeline degree of 4"),
        (("stages", 0, "chunks"), [[0]], "stages[0].chunks[0]: a pair [first layer, one past the"),
        (("stages", 0, "chunks"), [[9, 2]], "stages[0].chunks[0]: the range ends at 2, before"),
        (("stages", 0, "chunks"), [[0, 23]], "stages: layer 23 is in no chunk"),
        (("stages", 0, "chunks"), [[0, 25]], "stages: layer 24 is in two chunks"),
        (("stages", 0, "chunks"), [[0, 9], [9, 24]], "stages[0].chunks: 2 chunks for 1 virtual"),
        (("stages", 1, "index"), 0, "stages[1].index: stages are listed in order: 1 is needed"),
        (("virtual_stages",), 2, "stages[0].chunks: 1 chunks for 2 virtual stages"),
        (("placement", "hosts"), "a b", 'placement.hosts: a list is needed, found "a b"'),
        (("placement", "hosts"), [1], "placement.hosts[0]: text is needed, found 1"),
        (("tensor",), 8, '"tensor" is not known here; allowed are rank, degrees'),
    ],
)
def test_plans_that_are_wrong(
    written: Path, keys: tuple[str | int, ...], value: object, message: str
) -> None:
    document = json.loads(written.read_text())
    place = document["plans"][0]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    written.write_text(json.dumps(document))
    with pytest.raises(InputError) as error:
        read_plan(str(written))
    joint = ": " if keys == ("tensor",) else "."
    assert unplaced(error.value).startswith(f"{written}: plans[0]{joint}{message}")
    if joint == ".":
        read_plan(f"{written}#2")


@pytest.mark.parametrize("key", ["degrees", "stages", "placement", "recompute", "schedule"])
def test_plans_that_lack_something(written: Path, key: str) -> None:
    document = json.loads(written.read_text())
    del document["plans"][0][key]
    written.write_text(json.dumps(document))
    with pytest.raises(InputError) as error:
        read_plan(str(written))
    assert unplaced(error.value) == f'{written}: plans[0]: "{key}" is missing'


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("headroom", 1, "inputs.job.headroom: a number of at least 0 and below 1 is needed"),
        ("headroom", "5%", 'inputs.job.headroom: a number is needed, found "5%"'),
        ("expert_imbalance", 0.5, "inputs.job.expert_imbalance: a number of at least 1 is needed"),
        ("precision", "int8", "inputs.job.precision: one of fp32, tf32, fp16"),
        ("devices", 0, "inputs.job.devices: a whole number from 1 to 1,000,000 is needed, found 0"),
    ],
)
def test_recorded_jobs_that_are_wrong(written: Path, key: str, value: object, message: str) -> None:
    document = json.loads(written.read_text())
    document["inputs"]["job"][key] = value
    written.write_text(json.dumps(document))
    with pytest.raises(InputError) as error:
        read_plan(str(written))
    assert unplaced(error.value).startswith(f"{written}: {message}")


def unplaced(error: InputError) -> str:
    """The message without line and column, which are those of a character of the file."""
    assert error.path is not None
    line = Path(error.path).read_text().splitlines()[(error.line or 0) - 1]
    assert line[(error.column or 0) - 1 :].strip()
    return str(error).replace(f"{error.path}:{error.line}:{error.column}: ", f"{error.path}: ")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("inputs", "job", "precision"), "int8"),
        (("plans", 1, "degrees", "tensor"), 0),
        (("plans", 2, "stages", 3, "chunks", 0, 1), -9),
    ],
)
def test_errors_point_at_the_value(
    written: Path, place: tuple[str | int, ...], value: object
) -> None:
    document = json.loads(written.read_text())
    around = document
    for key in place[:-1]:
        around = around[key]
    around[place[-1]] = value
    written.write_text(to_text(document))
    with pytest.raises(InputError) as error:
        read_plan(f"{written}#{place[1] + 1 if isinstance(place[1], int) else 1}")
    assert (error.value.line, error.value.column) != (None, None)
    line = written.read_text().splitlines()[(error.value.line or 0) - 1]
    assert line[(error.value.column or 0) - 1 :].startswith(json.dumps(value))


def test_a_whole_document_reads_back_as_it_was_written(samples: Samples, tmp_path: Path) -> None:
    for search in (samples.found(), samples.nothing(), None):
        plans = samples.ranked() if search is None else search.plans
        text = to_text(to_document(samples.inputs(), plans, search=search))
        path = tmp_path / "plans.json"
        path.write_text(text)
        read = read_answer(path)
        assert read.tree == json.loads(text)
        again = to_document(read.inputs, read.plans, search=read.search)
        assert _numbers_rounded(again) == _numbers_rounded(json.loads(text))


def _numbers_rounded(value: Any) -> Any:
    """To eight digits: what follows from rounded figures may differ in the ninth."""
    if isinstance(value, dict):
        return {key: _numbers_rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers_rounded(item) for item in value]
    return float(f"{value:.8g}") if isinstance(value, float) else value
