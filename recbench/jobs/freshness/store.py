"""The files of an experiment: what each arm would have shown, releases, and what is finished."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from recbench import columns as c
from recbench.errors import InputError
from recbench.files import whole_file, write_json
from recbench.jobs.freshness.arms import Arm
from recbench.jobs.freshness.asked import Asked, Stretch
from recbench.jobs.freshness.tracks import Track
from recbench.jobs.freshness.walk import Walked
from recbench.refresh.cadence import Cadence, Cost, Release
from recbench.tables.vocabulary import Vocabulary

__all__ = ["Store"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Store:
    """One folder: ``recs/``, ``within/``, ``releases/``, ``asked.parquet``, ``experiment.json``."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, *, key: str, facts: dict[str, object]) -> Self:
        """The folder of the experiment with this key, begun if it is new.

        Raises:
            InputError: the folder holds another experiment.
        """
        place = folder / "experiment.json"
        if not place.exists():
            write_json(place, {"key": key} | facts)
        elif json.loads(place.read_text(encoding="utf-8"))["key"] != key:
            raise InputError(
                f"{folder} holds an experiment with another log, other dials or other code; give "
                "another folder, or delete this one"
            )
        return cls(folder)

    def recs(self, model: str, arm: Arm) -> Path:
        """``event_id, user_id, ts, item_id, rank``: the lists of one arm."""
        return self.folder / "recs" / f"{model}.{arm.name}.parquet"

    def within(self, model: str, arm: Arm) -> Path:
        """``event_id, item_id, rank``: what was shown together, in the arm's order."""
        return self.folder / "within" / f"{model}.{arm.name}.parquet"

    def keep_asked(self, asked: Asked) -> None:
        """``event_id, user_id, item_id, ts`` of every request, with the item that was clicked."""
        _write(asked.frame, self.folder / "asked.parquet")

    def keep(self, model: str, walked: Walked, asked: Asked, items: Vocabulary, *, k: int) -> None:
        """What one walk found; its releases last, which say that the others are there."""
        for arm, rows in walked.lists.items():
            _write(_lists(rows, asked, items, k=k), self.recs(model, arm))
        for arm, ranks in walked.places.items():
            if len(ranks):
                _write(_orders(ranks, asked, items), self.within(model, arm))
        self.keep_track(model, "weights", walked.track)

    def keep_track(self, owner: str, dial: str, track: Track) -> None:
        """The releases of one dial."""
        frame = track.frame().with_columns(pl.lit(track.n_empty).alias("n_empty"))
        _write(frame, self._releases(owner, dial, track.cadence))

    def track(
        self, owner: str, dial: str, cadence: Cadence, within: Sequence[Stretch]
    ) -> Track | None:
        """What ``keep_track`` kept; None where there is none."""
        place = self._releases(owner, dial, cadence)
        if not place.exists():
            return None
        frame = pl.read_parquet(place)
        instants = frame.select(pl.col("watermark", "served_from").dt.epoch("us"))
        held = tuple(
            Release(
                watermark=at["watermark"],
                served_from=at["served_from"],
                waited_s=row["waited_s"],
                cost=Cost(wall_s=row["made_s"], cpu_s=row["cpu_s"], joules=row["joules"]),
                held=row["held"],
            )
            for at, row in zip(
                instants.iter_rows(named=True), frame.iter_rows(named=True), strict=True
            )
        )
        return Track(cadence, held, frame["n_empty"][0], tuple(within))

    def _releases(self, owner: str, dial: str, cadence: Cadence) -> Path:
        return self.folder / "releases" / f"{owner}.{dial}.{cadence.name}.parquet"


def _lists(rows: Ints, asked: Asked, items: Vocabulary, *, k: int) -> pl.DataFrame:
    kept = (rows >= 0).ravel()
    request = np.repeat(np.arange(len(asked)), k)[kept]
    of = asked.frame[request]
    return pl.DataFrame(
        {
            c.EVENT_ID: of[c.EVENT_ID],
            c.USER_ID: of[c.USER_ID],
            c.TS: of[c.TS],
            c.ITEM_ID: items.ids[rows.ravel()[kept]],
            c.RANK: np.tile(np.arange(1, k + 1, dtype=np.int32), len(asked))[kept],
        }
    )


def _orders(ranks: Ints, asked: Asked, items: Vocabulary) -> pl.DataFrame:
    request = np.repeat(np.arange(len(asked)), np.diff(asked.shown_starts))
    return pl.DataFrame(
        {
            c.EVENT_ID: asked.frame[c.EVENT_ID][request],
            c.ITEM_ID: items.ids[asked.shown],
            c.RANK: ranks.astype(np.int32),
        }
    )


def _write(frame: pl.DataFrame, place: Path) -> None:
    with whole_file(place) as draft:
        frame.write_parquet(draft)
