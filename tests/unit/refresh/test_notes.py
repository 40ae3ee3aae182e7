"""What one refresh leaves for the next, by hand."""

import json

import numpy as np
import pytest

from recbench.refresh.evidence import Evidence
from recbench.refresh.facts import WindowFacts
from recbench.refresh.notes import FOLLOWED, Notes, Step, judged_since

FACTS = WindowFacts(
    n_events=10,
    n_clicks=10,
    n_users=5,
    n_new_items=0,
    n_late=0,
    top_item_share=0.1,
    top_user_share=0.1,
    click_rate=1.0,
    gap_s=60.0,
    span_s=900.0,
    n_not_finite=0,
    filled={},
)
FIRST = Notes(facts=[FACTS], n_known=100, n_items_full=7)


def after(notes, parent, **changed):
    options = {"evidence": None, "steps": (), "margin": 0.01, "level": 0.05}
    return notes.after(FACTS, parent=parent, n_known=110, **options | changed)


def test_a_full_fit_is_the_first_anchor_and_has_no_step():
    second = after(FIRST, "first")
    assert (second.full, second.anchor, second.n_known) == ("first", "first", 110)
    assert second.evidence == Evidence(0.01)
    assert FIRST.followed(release="first", before=None, margin=0.01) == []


def test_the_anchor_stays_until_the_line_has_shown_itself():
    values = np.random.default_rng(0).random(4_000)
    unsure, sure = (Evidence(0.01).after(values[:n], 0.9 * values[:n]) for n in (5, 4_000))
    second = after(FIRST, "first")
    assert after(second, "second", evidence=unsure).anchor == "first"
    third = after(second, "second", evidence=sure)
    assert (third.anchor, third.full) == ("second", "first")
    assert third.evidence == Evidence(0.01)


def test_a_release_is_followed_for_a_few_windows():
    notes = FIRST
    for number in range(FOLLOWED + 2):
        before = str(number - 1) if number else None
        steps = notes.followed(release=str(number), before=before, margin=0.01)
        notes = after(notes, str(number), steps=steps)
    numbers = range(FOLLOWED + 1, 1, -1)
    assert [(step.release, step.before) for step in notes.steps] == [
        (str(number), str(number - 1)) for number in numbers
    ]


def test_every_step_is_judged_by_its_two_releases():
    good, bad = np.full(50, 0.5), np.full(50, 0.2)
    notes = after(FIRST, "a")
    steps = [Step("c", "b", Evidence(0.01)), Step("b", "a", Evidence(0.01))]
    found = judged_since({"a": good, "b": bad, "c": bad}, notes, steps, release="c", margin=0.01)
    assert found["anchor"] == "a"
    assert found["evidence"].is_worse()
    fine, broken = found["steps"]
    assert not fine.evidence.is_worse()
    assert broken.evidence.is_worse()


def test_a_release_that_is_gone_is_not_compared_any_more():
    steps = [Step("c", "b", Evidence(0.01)), Step("b", "a", Evidence(0.01))]
    values = {"c": np.full(5, 0.5), "b": np.full(5, 0.5)}
    found = judged_since(values, after(FIRST, "a"), steps, release="c", margin=0.01)
    assert [step.release for step in found["steps"]] == ["c"]
    assert found["evidence"].n_users == 0


def test_they_survive_a_file():
    steps = [Step("b", "a", Evidence(0.01).after(np.ones(3), np.ones(3)))]
    notes = after(after(FIRST, "a"), "b", steps=steps)
    through = Notes.from_json(json.loads(json.dumps(notes.to_json())))
    assert through == notes or through.to_json() == notes.to_json()
    assert through.steps[0].evidence.n_users == pytest.approx(3)
