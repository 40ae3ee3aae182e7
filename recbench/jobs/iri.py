"""The grammar of IRIs, compiled when an IRI is first checked, not when nbformat is imported.

nbformat imports jsonschema, which imports ``rfc3987_syntax`` for a format that no schema of a
notebook has, and that one compiles its grammar at once: 1.3 s of every process that reads one.
"""

import importlib
import importlib.util
import sys
from types import ModuleType

__all__ = ["compile_when_asked"]

NAME = "rfc3987_syntax"


def compile_when_asked() -> None:
    """Put a stand-in for ``rfc3987_syntax`` in its place, unless it is there or not installed."""
    if NAME not in sys.modules and importlib.util.find_spec(NAME):
        stand_in = ModuleType(NAME)
        stand_in.__dict__["is_valid_syntax"] = _is_valid_syntax
        sys.modules[NAME] = stand_in


def _is_valid_syntax(rule: str, text: str) -> bool:
    held = sys.modules.get(NAME)
    if held is not None and held.__spec__ is None:  # still the stand-in
        sys.modules.pop(NAME, None)
    return bool(importlib.import_module(NAME).is_valid_syntax(rule, text))
