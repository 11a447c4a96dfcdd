"""Kinds of devices that a platform may have, by the name of their table in its file.

They are written in ``lpspec.devices``, which lies above; here they are only named, as entry points are.
"""

from typing import Any

from lpspec.errors import InputError
from lpspec.plugins import Registry

PROTOCOL = ("Spec", "stands_alone", "of", "price", "phase_parts", "describe")
"""What a kind of device must have (``lpspec.devices.device.Device``)."""

DEVICES: Registry[Any] = Registry(
    "device",
    "lpspec.devices",
    {
        "npu": "lpspec.devices.npu:Npu",
        "pim": "lpspec.devices.pim:LpddrPim",
        "gpu": "lpspec.devices.gpu:Gpu",
        "hbm_pim": "lpspec.devices.hbm_pim:HbmPim",
        "hbm_tiers": "lpspec.devices.hbm_tiers:HbmTiers",
        "dataflow": "lpspec.devices.dataflow:Dataflow",
        "pim_noc": "lpspec.devices.pim_noc:PimNoc",
        "drafters": "lpspec.devices.drafters:Drafters",
    },
)
"""Kinds of devices, each as ``lpspec.devices.device.Device``; a script may add its own (``examples/custom_device.py``).
"""


def device_kind(name: str) -> Any:
    """The kind of device of that name.

    Raises:
        InputError: There is none, or it lacks a part of the protocol.
    """
    kind = DEVICES.load(name)
    if missing := [part for part in PROTOCOL if not hasattr(kind, part)]:
        raise InputError(f"device '{name}' is a {type(kind).__name__} without {', '.join(missing)}")
    return kind
