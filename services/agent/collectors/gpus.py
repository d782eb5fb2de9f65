"""Section ``gpus``: NVIDIA's library first, GPUtil (which runs ``nvidia-smi``) where that is not to be had.

Nothing is imported before there is a sign of a device: on most hosts there is none, and the libraries are not small.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.agent.collectors.base import text

log = logging.getLogger(__name__)

NO_DEVICE, LIBRARY_MISSING = "no_device", "library_missing"
LOOK_AGAIN_AFTER = 60.0  # seconds: drivers may be loaded, devices plugged in later
_MIB = 1 << 20

Devices = list[dict[str, Any]]


class NotAvailable(Exception):
    """This way of asking does not exist here. ``reason`` is one of the schema's."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def device(
    id: int, name: str, load: float, memory_total: float, memory_used: float, temperature: float | None
) -> dict[str, Any]:
    """``load`` in percent, memory in MiB; what the driver does not know (NaN) is 0, or left out (temperature)."""
    total, used = max(0.0, _number(memory_total)), max(0.0, _number(memory_used))
    found: dict[str, Any] = {
        "id": id,
        "name": text(name),
        "load": round(min(100.0, max(0.0, _number(load))), 1),
        "memory_total": round(total, 1),
        "memory_used": round(used, 1),
        "memory_util": round(min(100.0, 100 * used / total), 1) if total else 0.0,
    }
    if temperature is not None and math.isfinite(temperature):
        found["temperature"] = float(temperature)
    return found


def _number(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0


def ask_nvml() -> Devices:
    """Raises ``NotAvailable`` without the Python library or the driver's."""
    if importlib.util.find_spec("pynvml") is None:
        raise NotAvailable(LIBRARY_MISSING)
    if not _driver_there():
        raise NotAvailable(NO_DEVICE)
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise NotAvailable(NO_DEVICE) from error
    try:
        return [_of_nvml(nvml, id) for id in range(nvml.nvmlDeviceGetCount())]
    finally:
        nvml.nvmlShutdown()


def _driver_there() -> bool:
    """Asked of the device files: loading the library to find out costs more than most hosts have use for."""
    return sys.platform != "linux" or any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _of_nvml(nvml: Any, id: int) -> dict[str, Any]:
    handle = nvml.nvmlDeviceGetHandleByIndex(id)

    def known(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except nvml.NVMLError:  # not every card answers everything
            return None

    name = nvml.nvmlDeviceGetName(handle)
    memory = known(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    load = known(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    return device(
        id,
        name.decode("utf-8", "replace") if isinstance(name, bytes) else name,
        load.gpu if load else 0.0,
        memory.total / _MIB if memory else 0.0,
        memory.used / _MIB if memory else 0.0,
        known(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
    )


def ask_gputil() -> Devices:
    """Raises ``NotAvailable`` without the library; without ``nvidia-smi`` there is no device it could find."""
    if importlib.util.find_spec("GPUtil") is None:
        raise NotAvailable(LIBRARY_MISSING)
    if shutil.which("nvidia-smi") is None:
        raise NotAvailable(NO_DEVICE)
    try:
        import GPUtil
    except ImportError as error:  # it needs distutils, which Python 3.12 has no more without setuptools
        raise NotAvailable(LIBRARY_MISSING) from error
    return [device(g.id, g.name, g.load * 100, g.memoryTotal, g.memoryUsed, g.temperature) for g in GPUtil.getGPUs()]


class GpusCollector:
    section = "gpus"

    def __init__(self, ways: tuple[Callable[[], Devices], ...] = (ask_nvml, ask_gputil)) -> None:
        self._ways = ways
        self._answer: dict[str, Any] | None = None
        self._look_again = 0.0

    def collect(self, now: float) -> dict[str, Any]:
        if self._answer is None or now >= self._look_again:
            self._answer = self._look()
            self._look_again = now if self._answer["devices"] else now + LOOK_AGAIN_AFTER
        return self._answer

    def _look(self) -> dict[str, Any]:
        reasons = set()
        for way in self._ways:
            try:
                devices = way()
            except NotAvailable as unavailable:
                reasons.add(unavailable.reason)
                continue
            if devices:
                return {"devices": devices}
            reasons.add(NO_DEVICE)
        # One library that could look and saw nothing is enough to say that there is nothing.
        return {"devices": [], "reason": NO_DEVICE if NO_DEVICE in reasons else LIBRARY_MISSING}
