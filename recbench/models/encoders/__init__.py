"""What turns a history into a state after each of its events; all fit one slot."""

from recbench.models.encoders.layout import Layout, Packed, Rectangle

__all__ = ["Layout", "Packed", "Rectangle"]
