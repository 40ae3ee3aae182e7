"""An update's weights and what it tells, kept in a folder, so that a killed run need not learn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from recbench.files import whole_file
from recbench.refresh.advance import Advanced

__all__ = ["UPDATED", "kept_update", "restored_update"]

UPDATED = "updated.safetensors"


def kept_update(done: Advanced, folder: Path) -> dict[str, Any]:
    """Write the weights of ``done``; what else ``restored_update`` needs."""
    parts = {"towers": done.state.towers.state_dict(), "moments": done.state.moments}
    tensors = {
        f"{part}/{name}": tensor.contiguous()
        for part, held in parts.items()
        for name, tensor in held.items()
    }
    with whole_file(folder / UPDATED) as draft:
        save_file(tensors, draft)
    return {
        "losses": done.update.losses,
        "n_examples": done.n_examples,
        "n_earlier": len(done.trained.at),
        "n_new_items": done.n_new_items,
        "balance": done.update.balance,
    }


def restored_update(
    folder: Path, told: dict[str, Any], *, without_steps: Callable[[], Advanced]
) -> Advanced:
    """The update as it was kept.

    Args:
        folder: where.
        told: what ``kept_update`` gave.
        without_steps: makes all but the weights again, by an update that takes no step.
    """
    held, done = load_file(folder / UPDATED), without_steps()
    towers = done.state.towers
    towers.load_state_dict(_part(held, "towers"))
    moments = _part(held, "moments")
    update = replace(
        done.update,
        towers=towers,
        moments=moments,
        losses=told["losses"],
        balance=told["balance"],
    )
    state = replace(done.state, towers=towers.eval(), moments=moments)
    return replace(done, state=state, update=update, n_examples=told["n_examples"])


def _part(held: dict[str, Any], part: str) -> dict[str, Any]:
    return {n.removeprefix(f"{part}/"): t for n, t in held.items() if n.startswith(f"{part}/")}
