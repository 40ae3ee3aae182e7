"""What is served, how late it is, and what the gate said."""

from datetime import UTC, datetime, timedelta

import pytest

from recbench.refresh import Manifest, Registry
from recbench.widgets.freshness import freshness_figure, freshness_table, releases_table

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def seal(registry):
    """Seals a release made so many hours after noon, which knows all until an hour before that."""

    def make(hours, *, parent=None, gate=None):
        created = NOON + timedelta(hours=hours)
        manifest = Manifest(
            release="",
            created=created.isoformat(),
            data="toy",
            protocol="masked",
            watermark=str(created - timedelta(hours=1)),
            lake_version=hours,
            parent=parent,
            gate=gate or {"verdict": "publish", "reasons": []},
            metrics={},
            settings={},
            parity={},
            code={},
        )
        with registry.draft() as draft:
            (draft / "index.txt").write_text(str(hours))
            return registry.seal(draft, manifest).manifest.release

    return make


def facts(registry, **more):
    return dict(freshness_table(registry, **more).rows())


def test_watermark_lag_and_last_refresh_are_told(registry, seal):
    first = seal(0, gate={"verdict": "not gated", "reasons": []})
    second = seal(2, parent=first)
    registry.publish(first)
    registry.publish(second)
    told = facts(registry, newest=NOON + timedelta(hours=1, minutes=30), now=NOON + 2.5 * HOUR)
    assert told == {
        "served": second,
        "data": "toy",
        "watermark": "2026-01-05 13:00:00 UTC, 1.5 h ago",
        "newest event in the lake": "2026-01-05 13:30:00 UTC",
        "lag of the release": "30 min",
        "last refresh": "2026-01-05 14:00:00 UTC, 30 min ago",
        "verdict of the gate": "publish",
        "before it": first,
    }


def test_without_a_release_nothing_is_served(registry, drawn):
    assert facts(registry, newest=None, now=NOON) == {"served": "nothing yet"}
    axes = drawn(freshness_figure(registry, newest=None))
    assert axes.get_title(loc="left") == "Nothing is served yet"
    assert releases_table(registry).is_empty()


def test_an_unknown_lake_is_told_as_unknown(registry, seal):
    registry.publish(seal(0))
    told = facts(registry, newest=None, now=NOON)
    assert (told["newest event in the lake"], told["lag of the release"]) == ("unknown",) * 2
    assert told["before it"] == "none to roll back to"


def test_every_release_has_its_verdict_and_what_it_knows_more(registry, seal):
    first = seal(0)
    held = seal(3, parent=first, gate={"verdict": "hold", "reasons": ["flood: of one item", "gap"]})
    registry.publish(first)
    table = releases_table(registry)
    assert table.columns[:2] == ["", "release"]
    assert table.select("", "release", "knows more", "parent", "verdict", "reasons").rows() == [
        ("", held, "3 h", first, "hold", "flood: of one item; gap"),
        ("*", first, None, None, "publish", ""),
    ]


@pytest.mark.parametrize(
    ("newest", "finding"),
    [
        (NOON + 5 * HOUR, "What is served is 6 h behind the lake"),
        (NOON - HOUR, "What is served knows every event in the lake"),
        (NOON - 9 * HOUR, "What is served knows every event in the lake"),
        (None, "What is served knows events until 2026-01-05 11:00:00 UTC"),
    ],
)
def test_the_title_says_how_far_it_is_behind(registry, seal, drawn, newest, finding):
    registry.publish(seal(0))
    axes = drawn(freshness_figure(registry, newest=newest))
    assert axes.get_title(loc="left") == finding


def test_verdicts_are_told_apart_by_marker_and_colour(registry, seal, drawn):
    first = seal(0)
    seal(1, parent=first, gate={"verdict": "hold", "reasons": []})
    seal(2, parent=first)
    registry.publish(first)
    axes = drawn(freshness_figure(registry, newest=NOON))
    looks = {
        line.get_label(): (line.get_marker(), line.get_color(), list(line.get_xdata()))
        for line in axes.lines
    }
    assert looks["publish"][2] == [1, 3]
    assert looks["hold"][2] == [2]
    assert looks["served"][2] == [1, 1]
    assert len({look[:2] for look in looks.values()}) == len(looks)


def test_a_release_whose_parent_is_gone_is_told_without_it(registry, seal):
    gone = "20250101T000000Z-00000000"
    seal(0, parent=gone)
    assert releases_table(registry)["knows more"].to_list() == [None]
    assert releases_table(registry)["parent"].to_list() == [gone]
