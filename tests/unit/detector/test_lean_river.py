"""What the detector does not load, and that it can do without."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import services.detector.service
print(sorted({"sklearn", "pandas", "pyarrow", "scipy.stats", "scipy.integrate"} & sys.modules.keys()))

from river import anomaly, stats
from river.proba.gaussian import multivariate_normal
trees, quantile = anomaly.HalfSpaceTrees(seed=1), stats.Quantile(0.9)
for n in range(600):
    trees.learn_one({"x": n % 7 / 10})
    quantile.update(n % 10)
print(trees.score_one({"x": 0.9}) > trees.score_one({"x": 0.3}), quantile.get() > 7)

try:
    multivariate_normal([0.0], [1.0])
except ImportError as error:
    print(error)

import scipy.stats, sklearn.svm  # who needs them later can have them
print(scipy.stats.norm.cdf(0.0))
"""


def test_a_detector_loads_neither_scikit_learn_nor_most_of_scipy() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=100)
    loaded, works, refused, later = done.stdout.splitlines() or [done.stderr, "", "", ""]
    assert (loaded, works, later) == ("[]", "True True", "0.5")
    assert "left out when River was loaded" in refused
