"""A whole store in Redis as the contents of an online state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from recbench import columns as c
from recbench.features.definitions import DecayedPopularity, from_json
from recbench.features.online.arrays import Array, Integers
from recbench.features.online.packed import Packed, joined, unpacked
from recbench.features.online.plan import StreamPlan, by_entity, microseconds, stream_plans
from recbench.features.online.redis_link import Keys
from recbench.features.online.snapshots import Captured

__all__ = ["loaded"]

AT_ONCE = 1_000  # keys read in one go


def loaded(client: Any, keys: Keys, head: Mapping[str, Any]) -> Captured:
    """What the store holds, for ``OnlineState.resumed``; nobody else may write meanwhile."""
    strings = {
        name: [raw.decode() for raw in client.lrange(keys.strings(name), 0, -1)]
        for name in head["n_strings"]
    }
    arrays: dict[str, Array] = {}
    references: dict[str, int | None] = {}
    for entity, plans in by_entity(stream_plans(from_json(head["features"])).values()).items():
        ids, entities = _entities(client, keys.entity(entity, ""), plans)
        if c.EVENT_DTYPES[entity] == pl.String:
            codes = {string: code for code, string in enumerate(strings[entity])}
            numbers = [codes[id_] for id_ in ids]
        else:
            numbers = [int(id_) for id_ in ids]
        arrays[f"{entity}.ids"] = np.array(numbers, dtype=np.int64)
        arrays[f"{entity}.truncated"] = np.array([e.truncated for e in entities], dtype=bool)
        for place, plan in enumerate(plans):
            events = joined([one.streams[place] for one in entities], plan)
            prefix = f"{entity}.{plan.of}."
            arrays[f"{prefix}lengths"] = events.ends - events.begins
            arrays[f"{prefix}ts"] = events.ts
            for name, column in events.columns.items():
                arrays[prefix + name] = column.values
            decayed = [f for f in plan.features if isinstance(f, DecayedPopularity)]
            for feature, (weights, since) in zip(decayed, events.folded, strict=True):
                folded, reference = _as_of_one_instant(feature, weights, since)
                arrays[f"decayed.{feature.name}"] = folded
                references[feature.name] = reference
    return Captured({**head, "strings": strings, "references": references}, arrays)


def _entities(
    client: Any, prefix: str, plans: Sequence[StreamPlan]
) -> tuple[list[str], list[Packed]]:
    ids, entities = [], []
    found = dict.fromkeys(client.scan_iter(match=f"{prefix}*", count=AT_ONCE))  # some come twice
    keys = list(found)
    for first in range(0, len(keys), AT_ONCE):
        some = keys[first : first + AT_ONCE]
        ids += [key.decode().removeprefix(prefix) for key in some]
        entities += [unpacked(blob, plans) for blob in client.mget(some)]
    return ids, entities


def _as_of_one_instant(
    feature: DecayedPopularity, weights: Array, since: Integers
) -> tuple[Array, int | None]:
    """Weights (N,) as of instants (N,), all as of the latest one."""
    if not np.any(weights):
        return weights, None
    reference = int(since[weights > 0].max())
    decay = np.exp2((since - reference) / microseconds(feature.half_life))
    return np.where(weights > 0, weights * decay, 0.0), reference
