"""Devices, degrees and stage layers of a measured run, checked against its cluster and model."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.specs.runs.file import RunInput
from planner.specs.runs.spec import RunDegrees

if TYPE_CHECKING:
    from planner.specs.cluster.spec import ClusterSpec
    from planner.specs.files.document import Document
    from planner.specs.model.spec import ModelSpec


PSEUDO_LAYERS_BEFORE = 2
PSEUDO_LAYERS_AFTER = 4
"""Pseudo-layers around the transformer layers in `pseudo_layer_boundaries`: the embedding and a
transposition before; a transposition, the last norm, the logits and their conversion after
(DachengLi1/AMP, `GPT2ModelPipe.specs` in megatron/model/gpt2_model.py)."""


def devices_of(document: Document, given: RunInput, cluster: ClusterSpec) -> int:
    """Devices the run used: as stated, or from its nodes, its degrees, its cluster."""
    degrees = given.degrees
    if given.devices is not None:
        return given.devices
    if given.nodes is not None:
        try:
            devices = cluster.sized(nodes=given.nodes).num_devices
        except InputError as error:
            raise document.error(str(error), ("nodes",)) from error
    elif degrees.data is not None:
        devices = degrees.tensor * degrees.pipeline * degrees.data * degrees.context
    else:
        devices = cluster.num_devices
    if devices is None:
        raise document.error("devices is missing; so are nodes, degrees.data and a node count")
    return devices


def degrees_of(document: Document, given: RunInput, devices: int) -> RunDegrees:
    """The degrees of the run, which are those of its devices. Raises: InputError."""
    degrees = given.degrees
    model_devices = degrees.tensor * degrees.pipeline * degrees.context
    data = devices // model_devices if degrees.data is None else degrees.data
    if data * model_devices != devices:
        product = " · ".join(
            f"{axis} {getattr(degrees, axis)}"
            for axis in ("tensor", "pipeline", "data", "context")
            if getattr(degrees, axis) is not None
        )
        relation = "are not" if degrees.data is not None else "are not a multiple of"
        raise document.error(f"{devices} devices {relation} {product}", ("degrees",))
    return RunDegrees(
        tensor=degrees.tensor,
        pipeline=degrees.pipeline,
        data=data,
        context=degrees.context,
        expert=degrees.expert,
        expert_tensor=degrees.expert_tensor,
    )


def stage_layers_of(
    document: Document, given: RunInput, model: ModelSpec
) -> tuple[int, ...] | None:
    """Layers of every chunk, None where the run does not state them. Raises: InputError."""
    chunks = given.degrees.pipeline * given.virtual_stages
    if given.stage_layers is not None:
        layers, key = given.stage_layers, "stage_layers"
    elif given.pseudo_layer_boundaries is not None:
        key = "pseudo_layer_boundaries"
        layers = _layers_between(document, given.pseudo_layer_boundaries, model.num_layers)
    else:
        return None
    if len(layers) != chunks:
        raise document.error(f"{len(layers)} chunks where the pipeline has {chunks}", (key,))
    if sum(layers) != model.num_layers:
        raise document.error(f"{sum(layers)} layers; the model has {model.num_layers}", (key,))
    return layers


def _layers_between(
    document: Document, boundaries: tuple[int, ...], num_layers: int
) -> tuple[int, ...]:
    """Transformer layers between boundaries that count pseudo-layers as well."""
    at = ("pseudo_layer_boundaries",)
    last = PSEUDO_LAYERS_BEFORE + num_layers + PSEUDO_LAYERS_AFTER
    if len(boundaries) < 2 or boundaries[0] != 0 or boundaries[-1] != last:
        raise document.error(
            f"boundaries run from 0 to {last} ({num_layers} layers, {PSEUDO_LAYERS_BEFORE} "
            f"pseudo-layers before and {PSEUDO_LAYERS_AFTER} after)",
            at,
        )
    if any(start >= end for start, end in itertools.pairwise(boundaries)):
        raise document.error("boundaries must increase", at)
    cuts = [min(max(one - PSEUDO_LAYERS_BEFORE, 0), num_layers) for one in boundaries]
    return tuple(end - start for start, end in itertools.pairwise(cuts))
