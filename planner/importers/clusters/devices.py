"""Device files for the names that drivers, benchmarks and topology files print, and the rates of
their links: `devices.yaml` in this folder.

Link rates are nominal, of one link in one direction, as cluster files state bandwidth. NCCL's own
figures (`src/graph/topo.h`: 20, 20.6, 40.1 GB/s) are rates that it expects to reach; device files
express them as an efficiency.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner.specs.files.yaml_file import load_document

BY_NVLINKS = {6: "v100-sxm-32gb", 8: "a800-sxm-80gb", 12: "a100-sxm-80gb", 18: "h100-sxm-80gb"}
"""The device with that many links to a switch; H100, H200 and B200 all have 18."""

ON_GRACE = "gb200"
"""The device with 18 links to switches beside Grace processors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDevice:
    """What a part is called. `device` is None where no file is shipped for it; `usual` where it
    stands for its capability or gfx target. `link`: GB/s of one link, one direction."""

    device: str | None
    products: tuple[str, ...] = ()
    pci: tuple[str, ...] = ()
    capability: int | None = None
    gfx: str | None = None
    usual: bool = False
    link: float | None = None
    together: int | None = None


@cache
def known_devices() -> tuple[KnownDevice, ...]:
    """In the order in which product names are tried."""
    tree = load_document(Path(__file__).with_name("devices.yaml")).tree
    return tuple(KnownDevice(**entry) for entry in tree)


@cache
def _by_name() -> Mapping[str, KnownDevice]:
    return {one.device: one for one in known_devices() if one.device is not None}


def link_bytes_per_s(device: str) -> float | None:
    """Of one NVLink or xGMI link of a device in one direction; None for devices without."""
    known = _by_name().get(device)
    return None if known is None or known.link is None else known.link * 1e9


def together(device: str) -> int | None:
    """Devices that are mounted together on the board of a node; None for cards, which are mounted
    singly."""
    known = _by_name().get(device)
    return None if known is None else known.together


def device_named(product: str) -> str | None:
    """The shipped device with a product name such as "NVIDIA A100-SXM4-80GB", or None."""
    shown = product.upper()
    for one in known_devices():
        if any(re.search(pattern, shown) for pattern in one.products):
            return one.device
    return None


def is_exact(product: str) -> bool:
    """Whether a product name says which memory the device has, so that nothing is assumed."""
    return re.search(r"[0-9]+ ?GB", product.upper()) is not None or not re.search(
        r"A100|V100|H100", product.upper()
    )


def is_listed(vendor: str, part: str) -> bool:
    """Whether a PCI ID belongs to a device for training, shipped or not."""
    return any(_pci(vendor, part) in one.pci for one in known_devices())


def device_of_pci(vendor: str, part: str) -> str | None:
    """The shipped device with a PCI ID such as 0x10de, 0x2330, or None."""
    return next((one.device for one in known_devices() if _pci(vendor, part) in one.pci), None)


def _pci(vendor: str, part: str) -> str:
    return f"{vendor.lower().removeprefix('0x')}:{part.lower().removeprefix('0x')}"


def device_of_capability(capability: int) -> str | None:
    """The device of a compute capability (times ten), where the file does not name the device."""
    found = (one for one in known_devices() if one.usual and one.capability == capability)
    return next((one.device for one in found), None)


def device_of_gfx(target: str) -> str | None:
    """The device of a gfx target of AMD's compiler, where the file does not name the device."""
    found = (one for one in known_devices() if one.usual and one.gfx == target.lower())
    return next((one.device for one in found), None)
