"""A refresh from lake to registry: done once, resumed, gated, rolled back."""

import dataclasses
import json
import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from recbench import columns as c
from recbench.datasets import in_lake
from recbench.errors import InputError, JobError, ReleaseError
from recbench.jobs import candidate as candidate_module
from recbench.jobs import refresh as module
from recbench.jobs import refresh_judged
from recbench.jobs.build import Cut, fit_two_tower
from recbench.jobs.outcomes import past_refreshes
from recbench.jobs.publish import make_release
from recbench.jobs.refresh import Refresh
from recbench.jobs.refresh_plan import instant_of
from recbench.refresh import Registry
from recbench.refresh.evidence import Evidence
from recbench.refresh.gate import Limits
from recbench.refresh.stored import read_state
from recbench.serving import ReleasedRecommender
from recbench.settings import RefreshSettings

STEPS = RefreshSettings(steps=3)
FIRST = 0.9


@pytest.fixture(scope="module")
def started(tiny_events, tiny_items, tiny_experiment, tmp_path_factory):
    """A workspace with the log in its lake and a release as of nine tenths of it."""
    folder = tmp_path_factory.mktemp("started")
    tiny_events.write_parquet(folder / "tiny.events.parquet")
    tiny_items.write_parquet(folder / "tiny.items.parquet")
    workspace = folder / "workspace"
    log = in_lake(folder / "tiny.events.parquet", workspace=workspace)
    at = log.instant_at(FIRST)
    data = log.until(at)
    cut = Cut(at=at, horizon_us=3 * 86_400_000_000, half_life_s=5 * 86_400.0)
    fitted = fit_two_tower(data, data.events, cut, experiment=tiny_experiment, steps=5)
    release = make_release(
        fitted,
        data,
        data.events,
        registry=Registry(workspace / "registry"),
        experiment=tiny_experiment,
        metrics={"measured": "before refit"},
    )
    Registry(workspace / "registry").publish(release.manifest.release)
    return folder


@pytest.fixture
def place(started, tmp_path):
    """A copy of its own."""
    return shutil.copytree(started, tmp_path / "place")


def log_of(place, events=None):
    if events is not None:
        events.write_parquet(place / "tiny.events.parquet")
    # a copied folder is another path, so the log keeps the name that it had
    name = Registry(place / "workspace" / "registry").open().manifest.data
    return replace(in_lake(place / "tiny.events.parquet", workspace=place / "workspace"), name=name)


def refresh_of(place, share=0.95, *, log=None, **options):
    log = log or log_of(place)
    until = log.instant_at(share) if share < 1 else None
    options = {"settings": STEPS} | options
    return Refresh.of(log, workspace=place / "workspace", until=until, **options)


@pytest.fixture
def registry(place):
    return Registry(place / "workspace" / "registry")


def test_a_refresh_makes_a_release_that_serves_what_is_new(place, registry, tiny_events):
    refresh = refresh_of(place)
    parent = registry.current()
    outcome = refresh.run()
    assert outcome.decision == "publish"
    assert outcome.current == outcome.release == registry.current() != parent
    manifest = registry.open().manifest
    assert manifest.parent == manifest.fit == parent
    assert manifest.gate["verdict"] == "publish"
    assert list(manifest.exports["query_tower"]) == ["fp32", "fp16", "int8"]
    assert manifest.index["kept_from"] == parent
    served = ReleasedRecommender.load(registry.open())
    user = refresh.window.events[c.USER_ID][-1]
    clicked = tiny_events.filter(
        pl.col(c.USER_ID) == user, pl.col(c.TS) <= refresh.window.events[c.TS][-1]
    )
    own = served.queries(np.array([user]))
    np.testing.assert_array_equal(
        np.sort(served.items.ids[served.log.item_rows[own.starts[0] : own.ends[0]]]),
        clicked[c.ITEM_ID].sort().to_numpy(),
    )


def test_a_release_of_before_is_refreshed_into_one_with_all_towers(place, registry):
    held = registry.open().manifest
    told = [one["file"] for tower in held.exports.values() for one in tower.values()]
    new = set(told) - {"query_tower.onnx"}
    settings = {name: dials for name, dials in held.settings.items() if name != "export"}
    with registry.draft() as draft:
        for name in held.files.keys() - new:
            shutil.copy(registry.open().path(name), draft)
        before = {"exports": {}, "index": {}, "format": 1, "settings": settings}
        older = registry.seal(draft, replace(held, release="", **before)).manifest.release
    registry.publish(older)
    refresh = refresh_of(place)
    assert refresh.run().decision == "publish"
    manifest = registry.open().manifest
    assert new < set(manifest.files)
    assert manifest.index["kind"] == "exact"
    # of the files that both have: more of them is no growth that the gate is to hold
    assert refresh.measured().size_ratio == pytest.approx(1, abs=0.5)


def test_the_released_state_is_that_of_memory(place, registry):
    refresh = refresh_of(place)
    refresh.run()
    held, _ = read_state(registry.open().folder, refresh.window.new_towers)
    made = refresh.update().state
    assert held.items == made.items
    assert (held.at, held.number) == (made.at, made.number) == (refresh.to, 1)
    for name, value in made.towers.state_dict().items():
        assert (held.towers.state_dict()[name] == value).all()
    assert held.moments.keys() == made.moments.keys()
    for ours, theirs in zip(
        [*held.kept, held.popularity], [*made.kept, made.popularity], strict=False
    ):
        assert ours.at == theirs.at
        np.testing.assert_array_equal(ours.values, theirs.values)
        np.testing.assert_array_equal(ours.first_ts, theirs.first_ts)
    for ours, theirs in zip(held.pool, made.pool, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_nobody_clicks_any_more_is_not_recommended(place, registry):
    idle = RefreshSettings(steps=3, idle_days=2.0)
    refresh = refresh_of(place, settings=idle)
    refresh.run()
    gone = refresh.update().state.tombstones(idle_us=2 * 86_400e6)
    assert 0 < len(gone) < len(refresh.window.state.items)
    served = ReleasedRecommender.load(registry.open(refresh.seal().manifest.release))
    shown = served.recommend(served.users.ids[:20], k=len(served.items))
    assert not set(shown[c.ITEM_ID].to_list()) & set(served.items.ids[gone].tolist())
    assert np.isneginf(served.score_items(served.queries(served.users.ids[:2]))[:, gone]).all()


def test_users_long_gone_leave_the_release_and_come_back_whole(place, registry, tiny_events):
    refresh = refresh_of(place, settings=RefreshSettings(steps=3, idle_days=1.0))
    refresh.run()
    gone = refresh.seal()
    stayed = pl.read_parquet(gone.path("interactions.parquet"))[c.USER_ID].unique()
    before = pl.read_parquet(refresh.parent.path("interactions.parquet"))[c.USER_ID].unique()
    assert set(refresh.window.events[c.USER_ID]) <= set(stayed)
    assert 0 < len(stayed) < len(before)
    registry.publish(gone.manifest.release)
    later = refresh_of(place, 1.0, settings=RefreshSettings(steps=3, idle_days=1.0))
    back = set(later.window.events[c.USER_ID]) & (set(before) - set(stayed))
    later.run()
    held = pl.read_parquet(later.seal().path("interactions.parquet"))
    for user in back:
        theirs = tiny_events.filter(pl.col(c.USER_ID) == user)
        assert len(held.filter(pl.col(c.USER_ID) == user)) == len(theirs)
    assert back


def test_old_releases_go_but_those_that_are_needed(place, registry):
    keep = RefreshSettings(steps=3, keep=1)
    first = registry.current()
    made = [refresh_of(place, share, settings=keep).run() for share in (0.92, 0.94, 0.96, 0.98)]
    held = {manifest.release for manifest in registry.releases()}
    assert {registry.current(), first} <= held  # the full fit is what drift is measured from
    assert made[0].release not in held
    weights = list((place / "workspace" / "refreshes").glob("*/updated.safetensors"))
    assert [path.parent for path in weights] == [
        max(weights, key=lambda path: path.stat().st_mtime).parent
    ]


def test_started_twice_it_does_the_work_once(place, registry):
    first = refresh_of(place)
    outcome = first.run()
    again = Refresh(**{f.name: getattr(first, f.name) for f in dataclasses.fields(first)})
    assert again.run() == outcome
    assert len(registry.releases()) == 2


def test_what_was_rolled_back_is_not_published_again(place, registry):
    outcome = refresh_of(place).run()
    before = registry.roll_back().manifest.release
    again = refresh_of(place).run()
    assert (again.decision, again.current) == ("skip", before)
    assert f"publish {outcome.release} by `recbench releases publish`" in again.reasons[0]
    assert registry.current() == before


def test_after_it_nothing_is_left_to_do(place):
    refresh_of(place).run()
    outcome = refresh_of(place).run()
    assert outcome.decision == "skip"
    assert outcome.reasons == ("no event has come since the parent's watermark",)


def test_one_follows_another(place, registry):
    fit = registry.current()
    for share in (0.93, 0.96, 1.0):
        assert refresh_of(place, share).run().decision == "publish"
    assert registry.open().manifest.fit == fit  # whose towers they all go on from
    state, _ = read_state(registry.open().folder, refresh_of(place).window.new_towers)
    assert state.number == 3
    done = past_refreshes(place / "workspace", data=registry.open().manifest.data)
    assert [one.done.n_events for one in done] == [72, 72, 96]
    assert done[-1].done.predicted.n_past == 2


@pytest.mark.parametrize("step", ["update", "judge", "seal", "outcome"])
def test_what_died_before_a_step_goes_on_there(place, registry, step, monkeypatch):
    whole = refresh_of(shutil.copytree(place, place.parent / "whole"))
    expected = whole.run()
    first = refresh_of(place)
    outcome = first.run()
    assert outcome.release is not None
    registry.publish(first.parent.manifest.release)  # as it was before the last step
    steps = ["update", "judge", "seal", "outcome"]
    for lost in steps[steps.index(step) :]:
        (first.folder / f"{lost}.json").unlink()
    taken = []
    monkeypatch.setattr(
        module, "advance", _counted(module.advance, taken, lambda k: k["plan"].steps)
    )
    again = refresh_of(place)
    assert again.folder == first.folder
    assert again.run().decision == expected.decision
    assert sum(taken) == (STEPS.steps if step == "update" else 0)
    assert len(registry.releases()) == 2
    assert registry.unreadable() == {}


def _counted(call, taken, of):
    def counted(*arguments, **options):
        taken.append(of(options))
        return call(*arguments, **options)

    return counted


def test_other_dials_are_another_refresh(place):
    assert refresh_of(place).folder != refresh_of(place, settings=RefreshSettings(steps=4)).folder
    assert refresh_of(place).folder != refresh_of(place, 0.96).folder
    assert refresh_of(place).folder == refresh_of(place).folder


def test_a_refresh_that_was_overtaken_publishes_nothing(place, registry):
    slow = refresh_of(place)
    slow.seal()
    refresh_of(place, 0.96).run()
    current = registry.current()
    with pytest.raises(JobError, match="out of date"):
        slow.publish()
    assert registry.current() == current


def test_another_logs_release_is_not_refreshed(place):
    log = replace(log_of(place), name="another")
    with pytest.raises(ReleaseError, match="not of 'another'"):
        refresh_of(place, log=log)


def test_a_release_without_a_state_says_what_to_do(place, registry):
    folder = registry.open().folder
    (folder / "refresh.json").unlink()
    with pytest.raises(ReleaseError, match="recbench run 03_train_two_tower"):
        read_state(folder, None)


def poisoned(kind, events):
    """The last tenth of the log as something goes wrong with it."""
    n = int(len(events) * FIRST)
    before, fresh = events[:n], events[n:]
    if kind == "flood of one item":
        bots = fresh.sample(600, with_replacement=True, seed=0).with_columns(
            pl.lit(5000, pl.Int64).alias(c.ITEM_ID),
            pl.int_range(600).cast(pl.Int64).alias(c.USER_ID),
            (pl.lit(10**9) + pl.int_range(600)).cast(pl.Int64).alias(c.EVENT_ID),
        )
        fresh = pl.concat([fresh, bots]).sort(c.TS)
    elif kind == "no clicks":
        fresh = fresh.with_columns(pl.lit(False).alias(c.CLICKED))
    elif kind == "not finite":
        before = before.with_columns(pl.lit(0.5).alias("speed"))
        fresh = fresh.with_columns(pl.lit(float("nan")).alias("speed"))
    elif kind == "gap":
        fresh = fresh.with_columns(pl.col(c.TS) + timedelta(days=70))
    elif kind == "late events":
        fresh = fresh.with_columns(pl.col(c.TS) - timedelta(days=7))
    return pl.concat([before, fresh])


POISONS = ["flood of one item", "no clicks", "not finite", "gap", "late events"]


@pytest.mark.parametrize("kind", POISONS)
def test_poisoned_input_is_held_and_the_parent_goes_on(place, registry, tiny_events, kind):
    parent = registry.current()
    events = tiny_events if kind != "not finite" else poisoned(kind, tiny_events)
    n = int(len(events) * FIRST)
    if kind == "late events":  # the file is appended to: what is there stays
        log_of(place, events[:n])
    log = log_of(place, poisoned(kind, tiny_events))
    outcome = refresh_of(place, 1.0, log=log).run()
    assert outcome.decision == "hold"
    assert any(reason.startswith(kind) for reason in outcome.reasons), outcome.reasons
    assert outcome.current == registry.current() == parent
    assert ReleasedRecommender.load(registry.open()).recommend(np.array([1000]), k=3).height == 3


def test_what_was_looked_at_passes(place, registry, tiny_events):
    log = log_of(place, poisoned("gap", tiny_events))
    assert refresh_of(place, 1.0, log=log).run().decision == "hold"
    outcome = refresh_of(place, 1.0, log=log, accept=("gap", "drift", "held back")).run()
    assert outcome.decision == "publish"
    assert registry.open().manifest.gate["accepted"][0].startswith("gap: no event for 70")


def test_a_loss_that_is_no_number_is_a_hold(place, registry, monkeypatch):
    def broken(*_, **__):
        raise JobError("The loss became nan at step 0 of the update")

    monkeypatch.setattr(module, "advance", broken)
    parent = registry.current()
    outcome = refresh_of(place).run()
    assert outcome.decision == "hold"
    assert outcome.reasons == ("failure: The loss became nan at step 0 of the update",)
    assert registry.current() == parent


def spoil(folder, kind):
    """Something goes wrong between the towers and the files."""
    if kind == "index":
        held = load_file(folder / "index.safetensors")
        held["candidate_embeddings"][3] += 0.01
        save_file(held, folder / "index.safetensors")
    elif kind == "items":
        items = pl.read_parquet(folder / "items.parquet")
        items.reverse().write_parquet(folder / "items.parquet")
    elif kind == "query tower":
        held = load_file(folder / "query_tower.safetensors")
        save_file(
            {name: np.asarray(value * np.float32(1.01)) for name, value in held.items()},
            folder / f"{kind}.x",
        )
        (folder / f"{kind}.x").rename(folder / "query_tower.safetensors")
    elif kind == "features":
        held = json.loads((folder / "features.json").read_text())
        held["window_features"] = held["window_features"][:1]
        (folder / "features.json").write_text(json.dumps(held))


@pytest.mark.parametrize("kind", ["index", "items", "query tower"])
def test_files_that_do_not_belong_together_are_held(place, registry, monkeypatch, kind):
    parent = registry.current()
    bind = candidate_module.bind

    def spoiling(draft, *arguments, **options):
        parity = bind(draft, *arguments, **options)
        spoil(draft, kind)
        return parity

    monkeypatch.setattr(candidate_module, "bind", spoiling)
    outcome = refresh_of(place).run()
    assert outcome.decision == "hold"
    assert all(reason.startswith("broken: ") for reason in outcome.reasons)
    assert registry.current() == parent
    assert outcome.release in {manifest.release for manifest in registry.releases()}


def test_a_line_that_has_lost_is_rolled_back_to_its_anchor(place, registry, monkeypatch):
    anchor = registry.current()
    refresh_of(place, 0.93).run()
    refresh = refresh_of(place, 0.96)
    other = np.random.default_rng(0).random(4_000)
    lost = Evidence(0.01).after(other * 0.9, other)
    found = {"anchor": anchor, "evidence": lost}
    monkeypatch.setattr(refresh_judged, "_since", lambda *_, **__: found)
    outcome = refresh.run()
    assert outcome.decision == "full rebuild"
    assert outcome.reasons[0].startswith("lasting loss")
    assert outcome.current == registry.current() == anchor


def test_evidence_is_carried_from_refresh_to_refresh(place, registry):
    refresh_of(place, 0.93).run()
    first = refresh_of(place, 0.93).window.notes
    assert first.anchor == first.full is not None
    assert first.evidence.n_users == 0
    refresh_of(place, 0.96).run()
    second = refresh_of(place, 0.96).window.notes
    assert second.full == first.full
    assert second.evidence.n_users > 0 or second.anchor != first.anchor
    (step,) = second.steps
    assert step.before == first.full
    assert step.evidence.n_users > 0


def test_limits_are_what_the_gate_holds_to(place):
    outcome = refresh_of(place, limits=Limits(latency_ms=0.0)).run()
    assert [reason.split(":")[0] for reason in outcome.reasons] == ["latency"]


def test_a_refresh_that_will_not_pay_is_skipped(place, registry):
    parent = registry.current()
    outcome = refresh_of(place, settings=RefreshSettings(steps=3, least_gain=0.5)).run()
    assert outcome.decision == "skip"
    assert "is less than 50.00%" in outcome.reasons[0]
    assert registry.current() == parent


@pytest.mark.parametrize("text", ["1.5", "0", "-1", "soon"])
def test_an_end_is_a_share_or_a_time(place, text):
    with pytest.raises(InputError, match="until"):
        instant_of(log_of(place), text)


def test_an_end_is_found(place):
    log = log_of(place)
    assert instant_of(log, "") is None
    assert instant_of(log, "1.0") is None
    assert instant_of(log, "0.5") == log.instant_at(0.5)
    assert instant_of(log, "2026-01-02") == 1_767_312_000_000_000


def test_a_new_item_is_in_the_next_release(place, registry, tiny_events):
    new = tiny_events.tail(40).with_columns(pl.lit(9_999, pl.Int64).alias(c.ITEM_ID))
    log = log_of(place, pl.concat([tiny_events[:-40], new]))
    settings = replace(STEPS, steps=0)
    accept = ("flood of one item",)
    outcome = refresh_of(place, 1.0, log=log, settings=settings, accept=accept).run()
    assert outcome.decision == "publish"
    served = ReleasedRecommender.load(registry.open())
    assert served.items.ids[-1] == 9_999
    stranger = served.recommend(np.array([7]), k=3)
    assert 9_999 in stranger[c.ITEM_ID].to_list()


def test_policy_gradient_is_a_refresh_that_the_same_gate_judges(place, registry, tiny_events):
    dials = RefreshSettings(steps=3, objective="reinforce", slate=5)
    with pytest.raises(InputError, match="clicks of this window has a propensity"):
        refresh_of(place, settings=dials).run()
    shown = log_of(place, tiny_events.with_columns(pl.lit(0.05).alias(c.PROPENSITY)))
    refresh = refresh_of(place, log=shown, settings=dials)
    outcome = refresh.run()
    release = registry.open(outcome.release)
    assert release.manifest.gate["verdict"] == outcome.decision
    before, after = (
        dict(read_state(one.folder, refresh.window.new_towers)[0].towers.named_parameters())
        for one in (refresh.parent, release)
    )
    moved = {
        name
        for name in before
        if before[name].shape == after[name].shape and (before[name] != after[name]).any()
    }
    assert moved
    assert all(name.startswith("queries.") for name in moved)


def test_refresh_by_another_objective_is_refused():
    with pytest.raises(InputError, match="got 'luck'"):
        RefreshSettings(objective="luck")
