"""The devices of a platform, by the tables of its file."""

from lpspec.devices.device import Device
from lpspec.errors import InputError
from lpspec.machine.device_kinds import device_kind
from lpspec.machine.platform_spec import PlatformSpec


def devices_of(platform: PlatformSpec) -> dict[str, Device]:
    """Every device by the name of its table."""
    kinds: dict[str, type[Device]] = {name: device_kind(name) for name in platform.device_tables}
    return {name: kind.of(platform) for name, kind in kinds.items()}


def device_alone(platform: PlatformSpec) -> Device:
    """The one device that can run whole passes.

    Raises:
        InputError: There is none, or more than one.
    """
    able = [name for name in platform.device_tables if device_kind(name).stands_alone]
    if len(able) != 1:
        found = " and ".join(f"[{name}]" for name in able) or "none"
        raise InputError(f"platform '{platform.name}': one device that runs whole passes is needed, it has {found}")
    kind: type[Device] = device_kind(able[0])
    return kind.of(platform)
