"""Where the environment with RecTools and RecBole is; `make env-peers` builds it."""

from pathlib import Path

__all__ = ["peers_python"]


def peers_python() -> Path | None:
    """The interpreter with RecTools and RecBole, beside the package; None if it is not built."""
    folder = Path(__file__).parents[2] / ".venv-peers"
    return folder / "bin" / "python" if (folder / ".complete").exists() else None
