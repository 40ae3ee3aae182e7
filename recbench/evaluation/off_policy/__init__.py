"""What a policy would have earned, from a log that another one wrote; and whether that can be said.

A log is `Feedback`, a policy at its rows a `TargetPolicy`. Estimators turn both into `Terms`, whose
ratio of sums is the estimate; intervals and paired differences need nothing else.
"""

from recbench.evaluation.off_policy.diagnostics import Diagnostics, Thresholds, diagnose
from recbench.evaluation.off_policy.direct import (
    direct_method,
    doubly_robust,
    shrunk_doubly_robust,
    switch_doubly_robust,
)
from recbench.evaluation.off_policy.feedback import Feedback, TargetPolicy
from recbench.evaluation.off_policy.intervals import bernstein, bootstrap
from recbench.evaluation.off_policy.report import compare
from recbench.evaluation.off_policy.terms import Terms
from recbench.evaluation.off_policy.weighted import clipped_ips, ips, replay, snips

__all__ = [
    "Diagnostics",
    "Feedback",
    "TargetPolicy",
    "Terms",
    "Thresholds",
    "bernstein",
    "bootstrap",
    "clipped_ips",
    "compare",
    "diagnose",
    "direct_method",
    "doubly_robust",
    "ips",
    "replay",
    "shrunk_doubly_robust",
    "snips",
    "switch_doubly_robust",
]
