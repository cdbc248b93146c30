"""What the documents say is so: paths, names, commands and options exist, console blocks show what
the program prints (`--update-golden` renews them), Python blocks run."""

from __future__ import annotations

import importlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.cli.commands import COMMANDS, Program
from planner.specs.files.catalog import list_shipped
from tests.cli.conftest import planner as planner
from tests.development.documents import (
    DOCUMENTS,
    ROOT,
    Command,
    commands,
    fences,
    prose,
)
from tools.floors_picture import PICTURE, picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Outcome

NOT_OURS = {
    "../env.sh": "of an example",
    "parallel_state.py": "Megatron-LM's",
    "llama3_llm_pretrain.py": "Megatron-Bridge's",
    "fused_softmax.py": "Megatron-LM's",
    "float8/float8_tensor_parallel.py": "torchao's",
    "common/triton/cross_entropy.py": "TransformerEngine's",
    "all_reduce_bench.py": "stas00/ml-engineering's",
    "model_config.yaml": "Megatron-LM's",
    "config.json": "Hugging Face's",
    "meta-llama/Llama-3.1-8B-Instruct": "a model of the Hugging Face Hub",
    "fabric.topograph.run/tier-1": "a label of a Kubernetes node",
    "accelerator.topograph.run/domain": "a label of a Kubernetes node",
    "/dev/zero": "a device of the system",
    **dict.fromkeys(("GB/s", "Gb/s", "Gbit/s"), "a unit"),
}
"""Paths and file names in the documents that are of other projects."""

WRITTEN = {
    "build/site",
    "cluster.yaml",
    "first.sh",
    "mine.yaml",
    "model.yaml",
    "my-a100.yaml",
    "my-vllm.yaml",
    "NAME-bandwidth.csv",
    "plan-baseline.json",
    "plans/train.json",
    "plans/*.json",
    "ranks.csv",
    "run.sh",
    "settings.sh",
    "slurm.sh",
    "results.csv",
    "front.csv",
    "torchrun.sh",
    "train.sh",
    "verify_placement.py",
}
"""Files of the reader, and files that the program writes."""

NOT_RUN = {
    "git clone … planner && cd planner": "needs the network",
    "make demo                       # needs Python 3.11, pip, git, make": "installs",
    "cd run": "not ours",
    "MEGATRON_PATH=~/Megatron-LM DATA_PATH=/data/text TOKENIZER_MODEL=/data/tokenizer bash "
    "launch.sh slurm": "tests/exporters/test_any_nodes.py does",
    "planner report plans.json --mine train.sh -o report.html": "tests/cli/test_report.py does",
    "planner simulate plans.json --days 90 --spares 0,1,2,4": "tests/cli/test_simulate.py does",
    "MODEL=/models/llama-3-70b-fp8 bash serve.sh aggregated 8000": "tests/exporters/"
    "test_serving_formats.py does",
    "planner calibrate my-runs.yaml --device-file my-a100.yaml": "tests/cli/test_calibrate.py does",
    "planner validate my-runs.yaml --device-file my-a100.yaml      # shows the gain": "as above",
    "planner calibrate train-a.log train-b.log --plan plans.json#1,plans.json#3 "
    "--device-file my-a100.yaml": "as above",
    "planner calibrate my-runs.csv --engine-file my-vllm.yaml": "tests/cli/"
    "test_calibrate_serving.py does",
    "planner validate my-runs.csv --engine-file my-vllm.yaml       # shows the gain": "as above",
    "planner search --cluster dgx-h100-16 --model llama-3-70b --serving load.yaml --engine "
    "my-vllm.yaml": "as above, but for the search",
}
"""Commands of the documents that no test here runs, with the reason."""


PATH = re.compile(r"[\w.*-]*(/[\w.*-]+)+/?|[\w*-]+\.(py|md|ya?ml|json|toml|txt|csv|sh)")


def spans(document: Path) -> set[str]:
    """Everything between backticks on one line, and the targets of links."""
    text = prose(document)
    return {*re.findall(r"`([^`\n]+)`", text), *re.findall(r"\]\(([^)#\s]+)", text)}


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_path_exists(document: Path) -> None:
    """A path starts at the root or at the document; a short one is the end of some path."""
    ours = {*_tree(), *(fence.title for fence in fences(document))}
    missing = []
    for span in spans(document):
        path = span.rstrip("/")
        if not PATH.fullmatch(span) or span in NOT_OURS or span in WRITTEN:
            continue
        if any(list(base.glob(path)) for base in (ROOT, document.parent)):
            continue
        if not any(one == path or one.endswith(f"/{path}") for one in ours):
            missing.append(span)
    assert sorted(missing) == []


def _tree() -> Iterator[str]:
    for folder in ("planner", "tests", "benchmarks", "tools", "docs", "clusters", "software"):
        for path in (ROOT / folder).rglob("*"):
            yield str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_name_of_the_package_exists(document: Path) -> None:
    for span in spans(document):
        if re.fullmatch(r"planner(\.\w+)+", span):
            assert _found(span), span


def named_in(path: Path) -> set[str]:
    """Modules, names and files of this project that a source file or shipped file mentions."""
    text = path.read_text(encoding="utf-8")
    dotted = re.findall(r"`(planner(?:\.\w+)+)`", text)
    files = re.findall(r"\b((?:planner|tests)/[\w./-]*\w\.[a-z]+)", text)
    return {*dotted, *files}


SOURCES = [
    *sorted((ROOT / "planner").rglob("*.py")),
    *(
        path
        for folder in ("planner", "clusters", "defaults", "engines", "libraries", "software")
        for path in sorted((ROOT / folder).rglob("*.yaml"))
    ),
]


def test_what_sources_mention_of_the_project_exists() -> None:
    """Docstrings, comments and shipped files: a module that moved is called by its new name."""
    missing = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name in sorted(named_in(path))
        if not ((ROOT / name).exists() if "/" in name else _found(name))
    ]
    assert missing == []


def _found(dotted: str) -> bool:
    """Whether it is a module, or a name in one, or a part of such a name."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for name in parts[end:]:
            if name in getattr(found, "__annotations__", {}):
                return True
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_every_command_and_option_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    lines = {span for span in spans(document) if span.startswith("planner ")}
    lines |= set(re.findall(r"^ *\$ (planner .*)$", text, re.MULTILINE))
    for line in lines:
        words = line.split()[1:]
        if not words or not re.fullmatch(r"[a-z]+", words[0]):
            continue
        assert words[0] in COMMANDS, line
        options = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert options <= _options(words[0]) | {"--help"}, line


def _options(name: str) -> set[str]:
    waiting: list[Any] = [Program(name="planner").get_command(None, name)]
    found: set[str] = set()
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        found |= {name for parameter in command.params for name in parameter.opts}
    return found


def test_the_places_of_the_architecture_page_hold_what_it_says() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| `([^`|]+)` \| ([^|]+) \|$", text, re.MULTILINE)
    assert len(rows) >= 25
    for path, names in rows:
        content = (ROOT / path).read_text(encoding="utf-8")
        for name in re.findall(r"`([^`]+)`", names):
            assert name in content, (path, name)


def test_the_picture_is_of_these_floors() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), (
        "docs/architecture.svg is out of date: python -m tools.floors_picture renews it"
    )


@dataclass
class Shown:
    """Shown output held to what is printed; renewed under --update-golden."""

    update: bool

    def check(self, document: Path, before: str, after: str, where: str) -> None:
        if before == after:
            return
        assert self.update, (where, after)
        text = document.read_text(encoding="utf-8")
        assert text.count(before) == 1, where
        document.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Shown:
    return Shown(update=request.config.getoption("--update-golden"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a reader: the files that the pages take for given."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "clusters" / "dgx-a100-16.yaml", "cluster.yaml")
    model = (ROOT / "models" / "llama-2-13b.yaml").read_text(encoding="utf-8")
    model = re.sub(r"global_batch_size: \d+", "global_batch_size: 512", model)
    Path("model.yaml").write_text(model, encoding="utf-8")
    Path("hosts.txt").write_text("".join(f"gpu-{i:02}\n" for i in range(16)), encoding="utf-8")
    Path("train.sh").write_text(SCRIPT, encoding="utf-8")
    Path("first.sh").write_text(FIRST, encoding="utf-8")
    Path("plans").mkdir()
    return tmp_path


SCRIPT = """#!/bin/bash
#SBATCH --nodes=16
GPUS=8
MODEL="--num-layers 40 --hidden-size 5120 --ffn-hidden-size 13824 --num-attention-heads 40 \\
  --swiglu --normalization RMSNorm --disable-bias-linear --position-embedding-type rope \\
  --untie-embeddings-and-output-weights --seq-length 4096 --max-position-embeddings 4096"
torchrun --nnodes 16 --nproc-per-node $GPUS pretrain_gpt.py $MODEL \\
  --tensor-model-parallel-size 16 --pipeline-model-parallel-size 2 \\
  --sequence-parallel --use-distributed-optimizer --bf16 --vocab-size 32000 \\
  --micro-batch-size 1 --global-batch-size 512
"""


FIRST = SCRIPT.replace("-size 16 --p", "-size 8 --p")
"""The script of the tutorial, whose plan can run."""


@pytest.mark.slow
def test_the_first_search_prints_what_the_readme_shows(
    planner: Callable[..., Outcome], shown: Shown
) -> None:
    readme = ROOT / "README.md"
    (command,) = [one for one in _commands(readme) if one.line.startswith("planner search")]
    outcome = planner(*_words(command))
    assert (outcome.code, outcome.stderr) == (0, "")
    shown.check(readme, command.output, _first_part(outcome.stdout, command), command.where)


def _first_part(printed: str, command: Command) -> str:
    """The README ends before the assumptions."""
    last = command.output.splitlines()[-1].split()[0]
    kept = printed.partition(f"\n{last} ")
    return kept[0] + kept[1] + kept[2].partition("\n")[0] + "\n"


@pytest.mark.slow
def test_the_pipeline_page_tells_what_happens(
    planner: Callable[..., Outcome], shown: Shown, desk: Path
) -> None:
    page = ROOT / "docs" / "ci.md"
    given = ("--cluster", "cluster.yaml", "--model", "model.yaml")
    plan = Path("plans/train.json")
    made = ("--tensor", "1", "--pipeline", "4", "--top", "1", "--output", str(plan))
    assert planner("search", *given, *made).code == 0
    first, changed, script, baseline = _commands(page)
    shown.check(page, first.output, planner(*_words(first)).stdout, first.where)

    assert planner(*_words(baseline)).code == 0
    assert Path("plan-baseline.json").is_file()

    before = plan.read_text(encoding="utf-8")
    (change,) = [one.text for one in fences(page) if one.language == "diff"]
    for was, becomes in zip(
        re.findall(r"^-( .*)$", change, re.MULTILINE),
        re.findall(r"^\+( .*)$", change, re.MULTILINE),
        strict=True,
    ):
        assert before.count(f"{was}\n") == 1
        before = before.replace(f"{was}\n", f"{becomes}\n")
    plan.write_text(before, encoding="utf-8")
    shown.check(page, changed.output, planner(*_words(changed)).stdout, changed.where)
    (printed,) = [one for one in fences(page) if one.language == "text"]
    annotations = planner(*_words(changed), "--format", "github")
    assert annotations.code == 1
    shown.check(page, printed.text, annotations.stdout, printed.where)

    shown.check(page, script.output, planner(*_words(script)).stdout, script.where)


def test_every_other_command_runs(planner: Callable[..., Outcome], desk: Path) -> None:
    ran = 0
    plans = ("search", "--cluster", "dgx-a100-16", "--model", "llama-2-13b", "--top", "1")
    assert planner(*plans, "--tensor", "2", "--pipeline", "4", "--output", "plans.json").code == 0
    for document in DOCUMENTS:
        if document.parent.name == "adding" or document.name in ("README.md", "ci.md"):
            continue
        for fence in fences(document):
            if fence.language == "yaml" and fence.title:
                Path(fence.title).write_text(fence.text, encoding="utf-8")
        for command in _commands(document):
            if command.line in NOT_RUN:
                continue
            outcome = planner(*_words(command))
            assert outcome.code == 0, (command.where, outcome.stderr)
            ran += 1
    assert ran


def test_what_is_not_run_is_there() -> None:
    lines = {command.line for document in DOCUMENTS for command in _commands(document)}
    assert sorted(set(NOT_RUN) - lines) == []


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one.name != "api.md"], ids=ids)
def test_python_runs(document: Path, desk: Path) -> None:
    """Block after block in one namespace, in the reader's folder. (tests/api/test_documentation.py
    does so for docs/api.md.)"""
    Path("train.sh").write_text(FIRST, encoding="utf-8")
    names: dict[str, Any] = {}
    for fence in fences(document):
        if fence.language == "python" and not fence.title:
            exec(compile(fence.text, fence.where, "exec"), names)


def _commands(document: Path) -> list[Command]:
    return [
        command
        for fence in fences(document)
        if fence.language == "console"
        for command in commands(fence)
    ]


def _words(command: Command) -> list[str]:
    """The arguments of a command, patterns expanded, without its comment."""
    program, *words = command.line.partition(" #")[0].split()
    assert program == "planner", command.where
    return [
        name
        for word in words
        for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]


def test_the_readme_counts_what_is_shipped() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"the {len(list_shipped('device'))} shipped devices" in readme
    assert f"{len(list_shipped('model'))} models are shipped" in readme
