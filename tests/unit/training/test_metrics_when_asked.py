"""Lightning is imported without all of torchmetrics, which is whole once it is asked for."""

import subprocess
import sys

CODE = """
import sys
import recbench.training.module
import torchmetrics

assert "torchmetrics.functional" not in sys.modules
assert "scipy.signal" not in sys.modules
metric = torchmetrics.Metric
assert "torchmetrics.functional" not in sys.modules
assert issubclass(torchmetrics.Accuracy, metric)
assert torchmetrics.functional.accuracy
try:
    torchmetrics.nothing
except AttributeError as error:
    print(error)
"""


def test_a_metric_is_there_as_soon_as_somebody_asks_for_it():
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "module 'torchmetrics' has no attribute 'nothing'\n"
