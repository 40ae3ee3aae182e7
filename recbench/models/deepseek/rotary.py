"""Rotary positions in real numbers."""

import torch
from torch import Tensor

__all__ = ["rotated", "rotations"]


def rotations(positions: Tensor, dim: int, *, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, dim / 2): pair i turns by ``position * theta ** (-2 i / dim)``."""
    pairs = torch.arange(0, dim, 2, device=positions.device, dtype=torch.float32)
    angles = positions[:, None].to(torch.float32) * theta ** (-pairs / dim)
    return angles.cos(), angles.sin()


def rotated(vectors: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """(T, H, dim) with neighbours (2 i, 2 i + 1) turned as one complex number would be.

    Source: Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021.
    """
    cos, sin = (turn[:, None, :].to(vectors.dtype) for turn in turns)
    even, odd = vectors[..., 0::2], vectors[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
