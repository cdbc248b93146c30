"""Files about a machine that are not read: what each is, and which file says what is needed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.importers.other_files import OtherFile, first_known

if TYPE_CHECKING:
    from planner.importers.source import Source

LOOKED_AT = 20_000
"""Characters at the start of a file that tell what it is."""

_NVIDIA = "give what `nvidia-smi topo -m` prints, or NCCL's own topology (NCCL_TOPO_DUMP_FILE)"
_AMD = "give what it prints without --json, with --device NAME"
_CARD = "give the cards' rate by --network-bandwidth and --cards"


def _other(starts: str, is_a: str, instead: str) -> OtherFile:
    return OtherFile(re.compile(starts, re.MULTILINE), is_a, instead)


_TEXTS = (
    _other(
        r"\s*<!DOCTYPE topology\b|\s*<topology\b|Machine(?: L#0)? \(.*\n\s+(?:Package|NUMANode) L#",
        "a topology of hwloc (lstopo), which does not say how devices are joined",
        _NVIDIA,
    ),
    _other(
        r"\s*<!DOCTYPE nvidia_smi_log\b|\s*<nvidia_smi_log>",
        "the XML of `nvidia-smi -q`, which does not say how devices are joined",
        _NVIDIA,
    ),
    _other(
        r"\| NVIDIA-SMI \d",
        "the table of `nvidia-smi`, which does not say how devices are joined",
        _NVIDIA,
    ),
    _other(
        r"GPU \d+: .*\(UUID: ",
        "the list of `nvidia-smi -L`, which does not say how devices are joined",
        _NVIDIA,
    ),
    _other(r"CA '[^'\n]+'$", "what `ibstat` prints of network cards", _CARD),
    _other(r"hca_id:\s", "what `ibv_devinfo` prints of network cards", _CARD),
    _other(
        r"# Topology file: generated|Switch\s+\d+ \"S-",
        "what `ibnetdiscover` prints of the switches",
        "give Slurm's topology.conf, which `slurmibtopology` makes of it",
    ),
)
_JSON_OF_AMD = "the JSON of rocm-smi or amd-smi, of which only the text is read"


def refuse_other_text(source: Source) -> None:
    """Raises: InputError for a text that is known, and not read, with what to give instead."""
    known = first_known(_TEXTS, source.text[:LOOKED_AT])
    if known is not None:
        raise source.error(f"is {known.is_a}; it is not read", hint=known.instead)


def refuse_other_json(path: str, tree: Any) -> None:
    """Raises: InputError for the topology of AMD's tools as JSON."""
    if _of_rocm_smi(tree) or _of_amd_smi(tree):
        raise InputError(f"is {_JSON_OF_AMD}", path=path, hint=_AMD)


def _of_rocm_smi(tree: Any) -> bool:
    """Cards and the system by name, each with texts by what they say."""
    if not isinstance(tree, dict):
        return False
    return any(
        isinstance(part, dict) and (name.startswith("card") or "(Topology)" in str(list(part)[:1]))
        for name, part in tree.items()
    )


def _of_amd_smi(tree: Any) -> bool:
    """A list of devices with their numbers and places on the PCI bus; newer ones name the list."""
    devices = tree.get("gpu_data") if isinstance(tree, dict) else tree
    if not isinstance(devices, list) or not devices or not isinstance(devices[0], dict):
        return False
    return "gpu" in devices[0]
