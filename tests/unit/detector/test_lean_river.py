"""What the detector does not load."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import services.detector.service
print(sorted({"sklearn", "pandas", "pyarrow"} & sys.modules.keys()))
import sklearn.svm  # who needs it later can have it
"""


def test_a_detector_carries_no_scikit_learn_no_pandas_and_no_pyarrow() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
