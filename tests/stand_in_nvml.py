"""A stand-in for the module pynvml that says it is one: GPUs of 100 to 400 W which draw 90."""

from types import SimpleNamespace


class StandInNvmlError(Exception):
    pass


def stand_in_nvml(*limits_w, is_root=True, tells=True):
    """One GPU a limit; ``was_set`` has (GPU, milliwatts) of what was set. No real GPU is asked."""
    limits, was_set = [1000 * watts for watts in limits_w], []

    def unless_silent(answer):
        def ask(device):
            if not tells:
                raise StandInNvmlError("Not Supported")
            return answer(device)

        return ask

    def set_limit(device, milliwatts):
        if not is_root:
            raise StandInNvmlError("Insufficient Permissions")
        limits[device] = milliwatts
        was_set.append((device, milliwatts))

    return SimpleNamespace(
        was_set=was_set,
        NVMLError=StandInNvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: len(limits),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda device: f"stand-in GPU {device}",
        nvmlDeviceGetPowerUsage=lambda device: 90_000,
        nvmlDeviceGetPowerManagementLimit=unless_silent(limits.__getitem__),
        nvmlDeviceGetPowerManagementDefaultLimit=unless_silent(lambda device: 400_000),
        nvmlDeviceGetPowerManagementLimitConstraints=unless_silent(lambda _: (100_000, 400_000)),
        nvmlDeviceSetPowerManagementLimit=set_limit,
    )
