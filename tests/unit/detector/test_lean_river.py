"""What the detector loads of River, that it can do without the rest, and that others can have it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import services.detector.service
from services.detector.lean_river import EWMean, HalfSpaceTrees
print(sorted({"sklearn", "pandas", "pyarrow", "scipy", "narwhals", "river.datasets"} & sys.modules.keys()))

trees, mean = HalfSpaceTrees(seed=1), EWMean(0.5)
for n in range(600):
    trees.learn_one({"x": n % 7 / 10})
    mean.update(n % 2)
print(trees.score_one({"x": 0.9}) > trees.score_one({"x": 0.3}), 0.3 < mean.get() < 0.7)

import scipy.stats, sklearn.svm  # who needs them later can have them, and the whole of River
from river import anomaly, stats, tree, utils
print(anomaly.HalfSpaceTrees is HalfSpaceTrees, stats.EWMean is EWMean, stats.Quantile, tree.HoeffdingTreeClassifier)
"""
AFTER_ALL_OF_IT = """
from river import anomaly, stats
from services.detector.lean_river import EWMean, HalfSpaceTrees
print(anomaly.HalfSpaceTrees is HalfSpaceTrees, stats.EWMean is EWMean)
"""


def printed_by(program: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_detector_loads_two_models_of_river_and_no_scipy() -> None:
    loaded, works, later = printed_by(PROGRAM)
    assert (loaded, works) == ("[]", "True True")
    assert later.startswith("True True ")


def test_who_has_loaded_river_already_keeps_it() -> None:
    assert printed_by(AFTER_ALL_OF_IT) == ["True True"]
