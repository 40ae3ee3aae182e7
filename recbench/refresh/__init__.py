"""Releases: made whole, published atomically, rolled back."""

from recbench.refresh.manifest import Manifest
from recbench.refresh.registry import Registry, Release

__all__ = ["Manifest", "Registry", "Release"]
