"""A policy that knows what its last refresh knew, however fast the world goes on."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recbench.datasets.world.protocol import Asked, Feedback, NewItems, Slates
from recbench.datasets.world.sampling import scored_slates, uniform_slates
from recbench.datasets.world.settings import PUBLISHED, WorldSettings
from recbench.simulation.counters import ItemRates, Labels, UserTastes, logits
from recbench.simulation.noted import Noted
from recbench.simulation.seen import SeenItems

__all__ = ["DAILY", "QUARTERLY", "Cadence", "RefreshedPolicy"]

TEMPERATURE = 0.3  # logits: how much slates explore
CLOCK = 1e-9  # hours: rounding

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often what is served is made anew, by the clock from hour 0 on, and how long it takes."""

    name: str
    items_every_h: float  # statistics of items, and the index of what can be shown
    users_every_h: float  # what is known of users
    making_h: float = 1 / 12  # a release is served so long after its watermark


DAILY = Cadence("daily", 24.0, 24.0)
QUARTERLY = Cadence("15 min", 0.25, 0.25)


class RefreshedPolicy:
    """Serves by counters as of the last release; traffic goes on being noted meanwhile.

    The counters forget as fast as the world changes: whatever its cadence, an arm is told the
    half-lives. Items that no release knows are not shown, nor is what the user was shown before:
    that is known at once, as in a service. Where fewer than a slate of the items that it knows are
    left alive, anything alive is shown, evenly.
    """

    def __init__(
        self,
        settings: WorldSettings,
        cadence: Cadence,
        *,
        labels: Labels = "corrected",
        wait_h: float = 0.0,
        seed: int = 0,
    ) -> None:
        """A policy that has learnt nothing.

        Args:
            settings: of the world: its size and its half-lives.
            cadence: of the refreshes.
            labels: how exposures count whose click may still come, see ``ItemRates``.
            wait_h: hours that an exposure waits for its label.
            seed: of the slates it draws.
        """
        self.cadence, self.seed = cadence, seed
        self.n_refreshes = 0
        self.predicted: list[Floats] = []  # (R, slate) chances of a click of what was shown
        half_life_h = settings.item_half_life_h
        self._items = ItemRates(half_life_h, labels)
        self._users = UserTastes(
            settings.n_users, settings.n_categories, settings.taste_half_life_h, labels
        )
        self._noted = {"items": Noted(wait_h=wait_h), "users": Noted(wait_h=wait_h)}
        self._seen = SeenItems(settings.n_users)
        self._new: list[NewItems] = []
        self._due_h = {"items": 0.0, "users": 0.0}
        self._served: dict[str, ItemRates | UserTastes] = {}
        self._made: list[tuple[float, str, ItemRates | UserTastes]] = []

    def observe(self, feedback: Feedback) -> None:
        """Note it, and refresh what is due."""
        for noted in self._noted.values():
            noted.note(feedback)
        self._new.append(feedback.new_items)
        now_h = feedback.until_h
        if self._is_due("items", now_h, self.cadence.items_every_h):
            for new in self._new:
                self._items.meet(new)
            self._new = []
            self._items.learn(*self._noted["items"].taken(now_h), until_h=now_h)
            self._publish("items", self._items, now_h)
            self.n_refreshes += 1
        if self._is_due("users", now_h, self.cadence.users_every_h):
            shown, clicks = self._noted["users"].taken(now_h)
            self._users.learn(shown, clicks, items=self._items, until_h=now_h)
            self._publish("users", self._users, now_h)

    def slates(self, asked: Asked) -> Slates:
        """By the release that is served."""
        self._serve(float(asked.hours[0]))
        items, users = self._served["items"], self._served["users"]
        assert isinstance(items, ItemRates)
        assert isinstance(users, UserTastes)
        known = asked.item_ids[asked.item_ids < len(items)]
        if len(known) < asked.slate:
            self.predicted.append(np.full((len(asked), asked.slate), np.nan))
            return uniform_slates(asked, seed=self.seed)
        indexed = Asked(asked.request_ids, asked.user_ids, asked.hours, known, asked.slate)
        scores = logits(items, users, asked.user_ids, known)
        seen = self._seen.mask(asked.user_ids, known, at_least=asked.slate)
        slates = scored_slates(
            indexed,
            np.where(seen, -np.inf, scores),
            temperature=TEMPERATURE,
            random_share=PUBLISHED["random_share"].value,
            seed=self.seed,
        )
        self._seen.note(asked.user_ids, slates.item_ids)
        columns = np.searchsorted(known, slates.item_ids)
        self.predicted.append(1 / (1 + np.exp(-np.take_along_axis(scores, columns, axis=1))))
        return slates

    def _is_due(self, what: str, now_h: float, every_h: float) -> bool:
        if now_h < self._due_h[what] - CLOCK:
            return False
        self._due_h[what] = (np.floor(now_h / every_h + CLOCK) + 1) * every_h
        return True

    def _publish(self, what: str, made: ItemRates | UserTastes, now_h: float) -> None:
        """The first release is there when the world begins."""
        from_h = now_h + self.cadence.making_h if now_h > 0 else 0.0
        self._made.append((from_h, what, deepcopy(made)))

    def _serve(self, now_h: float) -> None:
        while self._made and self._made[0][0] <= now_h + CLOCK:
            _, what, made = self._made.pop(0)
            self._served[what] = made
