"""Features kept up to date online: in this process, or in Redis for several servers."""

from recbench.features.online.state import OnlineState
from recbench.features.online.store import OnlineStore, Updated

__all__ = ["OnlineState", "OnlineStore", "Updated"]
