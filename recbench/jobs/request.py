"""What an attempt's process and whoever watches over it tell each other."""

from dataclasses import dataclass

__all__ = ["CANCELLED", "LEASE_S", "WANTED", "Request"]

LEASE_S = 10.0  # of silence; shorter than Dask needs to give a silent worker's task to another
WANTED, CANCELLED = b".", b"c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a process needs to carry a run out; plain, so that it goes anywhere as JSON.

    ``is_leased``: whether silence means that nobody wants it any more, as on another machine;
    else only the end of its input does.
    """

    folder: str
    notebook: str  # its text, parameters injected
    workspace: str
    working_directory: str
    environment: dict[str, str]
    memory_limit_bytes: int | None = None
    is_leased: bool = True
