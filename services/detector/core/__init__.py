"""The pure core of the detector: one host's events in, verdicts out; no clock, no I/O, no global state."""

from services.detector.core.config import CoreConfig
from services.detector.core.host import Contribution, HostCore, Verdict

__all__ = ["Contribution", "CoreConfig", "HostCore", "Verdict"]
