"""An answer of which chance fills a declared share of slots, and the chances of what it shows."""

import math
from dataclasses import replace

import numpy as np

from recbench.policy.explorer import Explorer
from recbench.serving.answer import Answer, Chances
from recbench.serving.decider import Decider
from recbench.serving.requests import AskedList
from recbench.serving.served_release import ServedRelease

__all__ = ["Chooser", "chosen", "drawn", "widened"]

Chooser = Explorer | Decider  # of a list, out of more that was retrieved


def widened(asked: AskedList, explorer: Chooser | None) -> AskedList:
    """The request as it is, or, where it is to be chosen from, for more items."""
    if isinstance(explorer, Decider):
        return explorer.widened(asked)
    if explorer is None or not explorer.takes():
        return asked
    return replace(asked, k=explorer.budget.n_retrieved(asked.k), drawn_k=asked.k)


def chosen(release: ServedRelease, asked: AskedList, answer: Answer, chooser: Chooser) -> Answer:
    """The list for a widened request, by a policy or by chance."""
    if isinstance(chooser, Decider):
        return chooser.list_of(release, asked, answer)
    return drawn(answer, asked.drawn_k or asked.k, chooser)


def drawn(answer: Answer, k: int, explorer: Explorer) -> Answer:
    """The list of ``k`` of what was retrieved for a widened request.

    A popularity list, made because a part failed, is the rule's; so is all that is retrieved once
    the switch is off.
    """
    if answer.fallback is not None or explorer.is_off:
        return replace(answer, item_ids=answer.item_ids[:k], scores=answer.scores[:k])
    found = explorer.list_of(answer.scores, k)
    if np.isnan(found.propensities).all():
        return replace(answer, item_ids=answer.item_ids[:k], scores=answer.scores[:k])
    chances = Chances(
        _known(found.propensities.tolist()),
        _known(found.slot_propensities.tolist()),
        explorer.budget.least_propensity,
    )
    item_ids = [answer.item_ids[place] for place in found.places.tolist()]
    return replace(answer, item_ids=item_ids, scores=answer.scores[found.places], chances=chances)


def _known(chances: list[float]) -> list[float | None]:
    return [None if math.isnan(chance) else chance for chance in chances]
