"""NVML: the total-energy counter of NVIDIA GPUs since Volta, in millijoules since the driver was loaded.

It is refreshed every 20 to 100 ms, so windows must last seconds. On A100 and H100 the sensor behind it samples a
quarter of the time (arXiv:2312.02741), so windows are repeated at varied phase. MIG, vGPU and virtual machines may
refuse.

Source: https://docs.nvidia.com/deploy/nvml-api (nvmlDeviceGetTotalEnergyConsumption); package nvidia-ml-py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spikeport.errors import UnavailableError

NOTE = "A GPU executes the spiking network densely: these joules say nothing about neuromorphic hardware."


class NvmlCounter:
    """One GPU.

    Args:
        nvml: the module `pynvml`, initialised.
        handle: the device's handle in it.
    """

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle
        name = self._ask("nvmlDeviceGetName")
        self.device = name.decode() if isinstance(name, bytes) else str(name)
        self.method = "NVML total energy"
        self.note = NOTE
        self._last = 0.0
        self.joules()

    def joules(self) -> float:
        """Return the joules since the driver was loaded."""
        now = float(self._ask("nvmlDeviceGetTotalEnergyConsumption")) * 1e-3
        if now < self._last:
            reason = f"its energy counter fell from {self._last} to {now} J"
            raise UnavailableError(self.device, reason, "Measure again: the driver may have been reloaded")
        self._last = now
        return now

    def conditions(self) -> Mapping[str, str]:
        """Return temperature and clock, where the device tells them."""
        asked = {
            "temperature_C": ("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU"),
            "sm_clock_MHz": ("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
        }
        found = {}
        for name, (function, which) in asked.items():
            try:
                found[name] = str(self._ask(function, getattr(self._nvml, which)))
            except UnavailableError:
                continue
        return found

    def _ask(self, function: str, *args: Any) -> Any:
        try:
            return getattr(self._nvml, function)(self._handle, *args)
        except self._nvml.NVMLError as error:
            fix = "Measure on a whole GPU of Volta or newer: MIG, vGPU and virtual machines may refuse"
            raise UnavailableError("NVML", f"{function} is refused ({error})", fix) from None


def open_nvml(uuid: str | None = None) -> NvmlCounter:
    """Return the counter of the GPU that torch uses, or of the one with this `uuid`.

    Raises:
        UnavailableError: nvidia-ml-py is not installed, there is no driver or GPU, or it refuses the counter.
    """
    try:
        import pynvml
    except ImportError:
        raise UnavailableError("NVML", "nvidia-ml-py is not installed", "pip install 'spikeport[gpu]'") from None
    try:
        pynvml.nvmlInit()
        return NvmlCounter(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid or _current_gpu()))
    except pynvml.NVMLError as error:
        raise UnavailableError("NVML", f"it does not start ({error})", "Check the NVIDIA driver") from None


def _current_gpu() -> str:
    """Return the UUID of torch's current device, since torch and NVML may number the GPUs differently."""
    import torch

    if not torch.cuda.is_available():
        raise UnavailableError("NVML", "torch sees no GPU here", "Measure on a machine with one")
    return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
