"""A service with all that it has in production: an online store, and a broker for exposures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from recbench import columns as c
from recbench.benchmarks.running_service import RunningService
from recbench.events.broker import Broker, embedded_broker
from recbench.features.online.state import OnlineState
from recbench.features.shipped import SHIPPED_FEATURES
from recbench.refresh import Release
from recbench.refresh.contents import Contents

__all__ = ["TOPIC", "full_service", "online_snapshot"]

TOPIC = "exposures"


@contextmanager
def full_service(
    workspace: Path, release: Release, *, options: Sequence[str] = ()
) -> Iterator[tuple[RunningService, Broker]]:
    """Two workers that read an online store and tell a broker of their own what they show.

    Args:
        workspace: whose registry has the release published; the service's log goes there.
        release: whose users the store knows, as of its watermark.
        options: further ones of ``recbench serve``.
    """
    snapshot = workspace / "online.safetensors"
    online_snapshot(release, snapshot)
    with embedded_broker(workspace / "broker") as broker:
        broker.create_topic(TOPIC, partitions=1)
        told = ["--bootstrap-servers", broker.bootstrap_servers, "--topic", TOPIC]
        every = ["--snapshot", str(snapshot), *told, *options]
        with RunningService.start(workspace, options=every) as service:
            yield service, broker


def online_snapshot(release: Release, path: Path) -> None:
    """The online features of everybody whom the release knows, as ``follow`` would save them."""
    held = Contents.read(release)
    events = held.interactions
    if c.CATEGORY not in events.columns:
        known = held.item_features
        if c.CATEGORY not in known.columns:
            known = known.with_columns(pl.lit(None, dtype=pl.String).alias(c.CATEGORY))
        category = known.select(c.ITEM_ID, c.CATEGORY)
        events = events.join(category, on=c.ITEM_ID, how="left", maintain_order="left")
    state = OnlineState(SHIPPED_FEATURES)
    state.update(events, watermark_us=release.manifest.watermark_us)
    state.snapshot(path)
