"""Load on the service over HTTP, timed from outside."""

from recbench.serving.load.answers import Answers
from recbench.serving.load.loops import closed_loop, load_process, open_loop
from recbench.serving.load.target import Target

__all__ = ["Answers", "Target", "closed_loop", "load_process", "open_loop"]
