"""Device files for the names that drivers and benchmarks print, and rates of their links.

Link rates are nominal, of one link in one direction, as cluster files state bandwidth: NVLink 2, 3
and 4 carry 25 GB/s, NVLink 5 50 GB/s (NVIDIA data sheets of V100, A100, H100, B200, halved because
they add both directions). NCCL's own figures (`src/graph/topo.h`: 20, 20.6, 40.1 GB/s) are what it
expects to reach; device files hold that as an efficiency.
"""

from __future__ import annotations

import re

_PRODUCTS = (
    (r"GB300", "gb300"),
    (r"GB200", "gb200"),
    (r"\bB300", "b300-sxm"),
    (r"\bB200", "b200-sxm"),
    (r"\bH200", "h200-sxm"),
    (r"\bH100.*(PCIE|NVL)", None),
    (r"\bH100.*96 ?GB", "h100-sxm-96gb-500w"),
    (r"\bH100", "h100-sxm-80gb"),
    (r"\bA800.*PCIE", None),
    (r"\bA800", "a800-sxm-80gb"),
    (r"\bA100.*PCIE.*40|\bA100.*40.*PCIE", None),
    (r"\bA100.*PCIE", "a100-pcie-80gb"),
    (r"\bA100.*40 ?GB", "a100-sxm-40gb"),
    (r"\bA100", "a100-sxm-80gb"),
    (r"\bV100.*PCIE", None),
    (r"\bV100.*16 ?GB", "v100-sxm-16gb"),
    (r"\bV100", "v100-sxm-32gb"),
    (r"\bT4\b", "t4"),
    (r"MI300X", "mi300x"),
    (r"MI250X", "mi250x"),
)

NVLINK_BYTES_PER_S = {60: 20e9, 70: 25e9, 72: 25e9, 80: 25e9, 90: 25e9, 100: 50e9, 103: 50e9}
"""By compute capability, times ten."""

BY_CAPABILITY = {
    70: "v100-sxm-32gb",
    75: "t4",
    80: "a100-sxm-80gb",
    90: "h100-sxm-80gb",
    100: "b200-sxm",
    103: "b300-sxm",
}
"""The device of a compute capability, where the file says no more."""

CAPABILITY = {
    "v100-sxm-16gb": 70,
    "v100-sxm-32gb": 70,
    "t4": 75,
    "a100-sxm-40gb": 80,
    "a100-sxm-80gb": 80,
    "a100-pcie-80gb": 80,
    "a800-sxm-80gb": 80,
    "h100-sxm-80gb": 90,
    "h100-sxm-96gb-500w": 90,
    "h200-sxm": 90,
    "b200-sxm": 100,
    "gb200": 100,
    "b300-sxm": 103,
    "gb300": 103,
}


def nvlink_bytes_per_s(device: str) -> float | None:
    """Of one NVLink of a device in one direction; None for devices without NVLink."""
    return NVLINK_BYTES_PER_S.get(CAPABILITY.get(device, 0))


BY_NVLINKS = {6: "v100-sxm-32gb", 8: "a800-sxm-80gb", 12: "a100-sxm-80gb", 18: "h100-sxm-80gb"}
"""The device with that many links to a switch; 18 have H100, H200 and B200 alike."""


def device_named(product: str) -> str | None:
    """The shipped device of a product name such as "NVIDIA A100-SXM4-80GB", or None."""
    shown = product.upper()
    for pattern, device in _PRODUCTS:
        if re.search(pattern, shown):
            return device
    return None


def is_exact(product: str) -> bool:
    """Whether a product name says which memory the device has, so that nothing was assumed."""
    return re.search(r"[0-9]+ ?GB", product.upper()) is not None or not re.search(
        r"A100|V100|H100", product.upper()
    )
