"""A model from any description of it: recognises the kind of description, and writes the model
file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner import __version__
from planner.errors import InputError
from planner.importers.edit import edited, plain_tree
from planner.importers.foreign_launches import foreign_launch
from planner.importers.frameworks.detect import (
    NEITHER,
    framework_model,
    is_yaml,
    without_model,
)
from planner.importers.huggingface.config import config_model, looks_like_config
from planner.importers.launch_file import is_json
from planner.importers.megatron.bridge import bridge_launch, looks_like_overrides
from planner.importers.megatron.command import mentions_training
from planner.importers.megatron.nemo import looks_like_nemo
from planner.importers.megatron.recipe import names_recipe, recipe_model
from planner.importers.megatron.script import launch_in, looks_like_script, states_flags
from planner.importers.notes import Notes
from planner.importers.published.names import (
    nearest_published,
    published_model,
    published_name,
)
from planner.importers.source import STDIN, Source, load_source
from planner.importers.torchtitan import flavor_model, looks_like_flavor
from planner.importers.torchtitan_toml import KIND as TORCHTITAN
from planner.importers.torchtitan_toml import looks_like_toml, toml_model
from planner.importers.yaml_text import to_yaml
from planner.specs.files.catalog import looks_like_path
from planner.specs.files.document import document_of
from planner.specs.files.json_file import parse_json
from planner.specs.files.text_file import decode, read_bytes
from planner.specs.files.yaml_file import parse_document
from planner.specs.model.build import build_model
from planner.specs.model.file import ModelInput
from planner.specs.names import as_name
from planner.wording.units import count, plural
from planner.workload.parameters import parameter_counts

if TYPE_CHECKING:
    from planner.importers.megatron.launch import Launch
    from planner.specs.model.spec import ModelSpec, ParameterCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModel:
    """`mapping` has the keys of a model file; `text` is that file, which the strict loader read as
    `spec`."""

    mapping: Mapping[str, Any]
    text: str
    spec: ModelSpec
    notes: Notes

    @property
    def document(self) -> dict[str, Any]:
        """What `planner import model --json` prints: the file's content and the parameters."""
        if self.counts is None:
            return dict(self.mapping)
        return {**self.mapping, "parameters": asdict(self.counts)}

    @property
    def counts(self) -> ParameterCounts | None:
        """Parameter counts, by which a user can check what was read; None where the number of
        learned positions is not stated."""
        return _counts(self.spec)

    @property
    def counted(self) -> str:
        """The parameter counts in words."""
        return _counted(self.spec)


def import_model(
    described: str,
    *,
    name: str | None = None,
    assume: str | None = None,
    given: Mapping[str, str] | None = None,
    command: int | None = None,
    vocabulary: int | None = None,
    into: str | None = None,
) -> ImportedModel:
    """A model from a file, "-" for standard input, or a torchtitan name such as "llama3 8B".

    `assume` reads a config of an unknown type as a known one; `given`, `command` and `vocabulary`
    are for launch scripts (`megatron.script.read_script`). The text is that of a new model file; or
    that of the existing file `into`, with what was read in place of what it said. Raises:
    InputError.
    """
    imported = _new_model(
        described, name=name, assume=assume, given=given, command=command, vocabulary=vocabulary
    )
    if into is None or not Path(into).exists():
        return imported
    return _into(into, imported, name)


def _into(path: str, imported: ImportedModel, name: str | None) -> ImportedModel:
    """An existing model file with changes: its name, its comments and everything that was not read
    stay."""
    text = decode(read_bytes(Path(path)), path)
    document = parse_document(text, path)
    build_model(document, name=Path(path).stem)
    base = plain_tree(document.tree)
    mapping = {
        **base,
        **imported.mapping,
        "name": name or base.get("name", as_name(Path(path).stem, otherwise="imported")),
    }
    training = {**base.get("training", {}), **imported.mapping.get("training", {})}
    if training:
        mapping["training"] = training
    changed = edited(text, base, mapping)
    if plain_tree(parse_document(changed, path).tree) != mapping:
        imported.notes.left_out.append("comments of the file, which had to be written anew")
        changed = to_yaml(mapping)
    spec = build_model(parse_document(changed, path), name=Path(path).stem)
    return replace(imported, mapping=mapping, text=changed, spec=spec)


def _new_model(
    described: str,
    *,
    name: str | None,
    assume: str | None,
    given: Mapping[str, str] | None,
    command: int | None,
    vocabulary: int | None,
) -> ImportedModel:
    path = _file(described)
    model: Mapping[str, Any]
    if path is None:
        return _named_model(described, name)
    source = load_source(path)
    if is_json(source.text) and not is_yaml(source):
        file = parse_json(source.text, source.path, constants=True)
        if not looks_like_config(file.tree):
            raise without_model(source, file.tree) or source.error(
                "is JSON, but no model's config: neither model_type nor num_hidden_layers"
            )
        model, notes = config_model(file, assume=assume)
        kind = "a Hugging Face config"
        return _finished(model, notes, name or _config_name(source, file.tree), kind, source)
    if assume is not None:
        raise source.error("--assume is for a Hugging Face config.json, which this is not")
    if looks_like_toml(source):
        model, notes = toml_model(source)
        return _finished(model, notes, name or source.stem, TORCHTITAN, source)
    if is_yaml(source) and not states_flags(source.text):
        model, notes, kind = framework_model(source, vocabulary)
        return _finished(model, notes, name or source.stem, kind, source)
    if names_recipe(source.text) and not mentions_training(source.text):
        model, notes = recipe_model(source, given=given)
        return _finished(model, notes, name or source.stem, "a recipe", source)
    launch, kind = _launch(source, given=given, command=command, vocabulary=vocabulary)
    build_model(launch.document(), name=source.stem)
    model = {**launch.model, "training": dict(launch.training)}
    return _finished(model, launch.notes, name or source.stem, kind, source)


def _named_model(described: str, name: str | None) -> ImportedModel:
    """A model of torchtitan or a published one, by its name."""
    found = None if looks_like_flavor(described) else published_name(described)
    if found is not None:
        model, notes = published_model(found)
        return _finished(model, notes, name or found.rpartition("/")[2].lower(), "its name")
    try:
        model, notes, flavor = flavor_model(described)
    except InputError as error:
        near = nearest_published(described)
        if near is None or error.hint is not None:
            raise
        raise InputError(error.message, hint=near) from error
    return _finished(model, notes, name or flavor, "torchtitan")


def _launch(
    source: Source,
    *,
    given: Mapping[str, str] | None,
    command: int | None,
    vocabulary: int | None,
) -> tuple[Launch, str]:
    def script() -> Launch:
        return launch_in(source, given=given, command=command, vocabulary=vocabulary)

    readers: tuple[tuple[str, Callable[[str], bool], Callable[[], Launch]], ...] = (
        ("a configuration of NeMo 1", looks_like_nemo, script),
        ("a Megatron-LM command", mentions_training, script),
        (
            "Megatron-Bridge overrides",
            looks_like_overrides,
            lambda: bridge_launch(source, vocabulary=vocabulary),
        ),
        ("a Megatron-LM command", looks_like_script, script),
    )
    for kind, looks_like, read in readers:
        if looks_like(source.text):
            return read(), kind
    instead = "import the config.json of the model that it trains, or the model's name on the Hub"
    raise foreign_launch(source, instead=instead) or source.error(NEITHER)


def _counts(spec: ModelSpec) -> ParameterCounts | None:
    try:
        return parameter_counts(spec)
    except InputError:
        return None


def _counted(spec: ModelSpec) -> str:
    counts = _counts(spec)
    if counts is None:
        return "parameters: not counted, since the number of learned positions is not stated"
    beside = ""
    if spec.mtp_num_layers:
        beside = f", besides {plural(spec.mtp_num_layers, 'multi-token-prediction layer')}"
    return (
        f"parameters: {count(counts.total)} in all, {count(counts.active)} active for a "
        f"token{beside}"
    )


def _file(described: str) -> str | None:
    """The file meant by the text; None for the name of a torchtitan model."""
    if described == STDIN:
        return STDIN
    try:
        path = Path(described)
        if (path / "config.json").is_file():
            return str(path / "config.json")
        if path.exists():
            return described
    except (OSError, ValueError):
        pass
    if looks_like_flavor(described) or not looks_like_path(described):
        return None
    if described.count("/") == 1 and published_name(described):
        return None
    return described


def _config_name(source: Source, tree: Mapping[str, Any]) -> str:
    """The name of the repository where the file states it, else the name of a `config.json`'s
    folder."""
    stated = tree.get("_name_or_path")
    if isinstance(stated, str) and as_name(stated.rstrip("/").rpartition("/")[2], otherwise=""):
        return stated.rstrip("/").rpartition("/")[2].lower()
    if source.stem == "config" and source.path != STDIN:
        return Path(source.path).resolve().parent.name.lower() or source.stem
    return source.stem


def _finished(
    model: Mapping[str, Any], notes: Notes, name: str, kind: str, source: Source | None = None
) -> ImportedModel:
    named = {"name": as_name(name, otherwise="imported"), **model}
    mapping = {key: named[key] for key in ModelInput.model_fields if key in named}
    comment = [f"Imported from {kind} by planner {__version__}."]
    if source is not None:
        comment.append(f"sha256 {source.sha256}")
    comment += [line[:1].upper() + line[1:] + "." for line in notes.lines()]
    place = mapping["name"] if source is None else source.path
    spec = build_model(document_of(mapping, place), name=mapping["name"])
    text = to_yaml(mapping, [*comment, f"{_counted(spec).capitalize()}."])
    spec = build_model(parse_document(text, mapping["name"]), name=mapping["name"])
    return ImportedModel(mapping=mapping, text=text, spec=spec, notes=notes)
