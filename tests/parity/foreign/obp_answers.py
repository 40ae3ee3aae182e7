"""Answers of the Open Bandit Pipeline: a question's name as argument, JSON in and out."""

import json
import sys
from pathlib import Path

import numpy as np
import obp.dataset
import obp.ope
import obp.policy
import obp.utils
from sklearn.linear_model import LogisticRegression

LAMBDA = 5.0  # clip, switch and shrinkage of the estimators that have one


def bootstrap(payload: dict) -> dict:
    """The percentile interval of a mean."""
    answer = obp.utils.estimate_confidence_interval_by_bootstrap(
        np.array(payload["values"]),
        n_bootstrap_samples=payload["resamples"],
        random_state=payload["seed"],
    )
    low, high = (answer[f"95.0% CI ({side})"] for side in ("lower", "upper"))
    return {"mean": answer["mean"], "low": low, "high": high}


def open_bandit(_: dict) -> dict:
    """The small log that the package ships (random policy, men's campaign), and its mean reward."""
    log = obp.dataset.OpenBanditDataset(behavior_policy="random", campaign="men")
    users = log.data.groupby([name for name in log.data if "user_feature" in name]).ngroup()
    return {
        "user_id": users.tolist(),
        "item_id": log.action.tolist(),
        "ts": log.data["timestamp"].tolist(),
        "clicked": log.reward.tolist(),
        "position": log.position.tolist(),
        "propensity": log.pscore.tolist(),
        "value": log.calc_on_policy_policy_value_estimate("random", "men"),
    }


def off_policy(payload: dict) -> dict:
    """Estimates of two policies on the random log of Open Bandit, its arrays saved for others.

    Thompson sampling as the package computes it, and the policy that always shows one item.
    """
    log = obp.dataset.OpenBanditDataset(behavior_policy="random", campaign="men")
    feedback = log.obtain_batch_bandit_feedback()
    n, actions, length = feedback["n_rounds"], feedback["n_actions"], log.len_list
    policy = obp.policy.BernoulliTS(
        n_actions=actions, len_list=length, is_zozotown_prior=True, campaign="men", random_state=1
    )
    sampled = policy.compute_batch_action_dist(n_rounds=n, n_sim=2_000)
    fixed = np.zeros_like(sampled)
    fixed[:, 3, :] = 1.0
    model = obp.ope.RegressionModel(
        n_actions=actions,
        len_list=length,
        action_context=feedback["action_context"],
        base_model=LogisticRegression(C=1e-2, max_iter=200),
    )
    own = {k: feedback[k] for k in ("context", "action", "reward", "position")}
    expected = model.fit_predict(**own, n_folds=2, random_state=1)
    rounds = {k: feedback[k] for k in ("action", "reward", "pscore", "position")}
    dists = {"sampled": sampled, "fixed": fixed}
    saved = {"expected": expected} | dists
    np.savez(Path(payload["folder"]) / "rounds.npz", **rounds, **saved)
    return {
        name: {
            key: estimator.estimate_policy_value(
                **rounds, action_dist=dist, estimated_rewards_by_reg_model=expected
            )
            for key, estimator in _estimators().items()
        }
        for name, dist in dists.items()
    }


def _estimators() -> dict:
    return {
        "replay": obp.ope.ReplayMethod(),
        "ips": obp.ope.InverseProbabilityWeighting(),
        "clipped-ips": obp.ope.InverseProbabilityWeighting(lambda_=LAMBDA),
        "snips": obp.ope.SelfNormalizedInverseProbabilityWeighting(),
        "dm": obp.ope.DirectMethod(),
        "dr": obp.ope.DoublyRobust(),
        "clipped-dr": obp.ope.DoublyRobust(lambda_=LAMBDA),
        "switch-dr": obp.ope.SwitchDoublyRobust(lambda_=LAMBDA),
        "dros": obp.ope.DoublyRobustWithShrinkage(lambda_=LAMBDA),
    }


def slates(payload: dict) -> dict:
    """Estimates of another policy on synthetic lists of the package, its arrays saved."""
    n, actions, length = 2_000, 6, 3
    world = obp.dataset.SyntheticSlateBanditDataset(
        n_unique_action=actions,
        len_list=length,
        dim_context=2,
        base_reward_function=obp.dataset.logistic_reward_function,
        behavior_policy_function=obp.dataset.linear_behavior_policy_logit,
        random_state=payload["seed"],
    )
    log = world.obtain_batch_bandit_feedback(n_rounds=n, return_pscore_item_position=True)
    logits = np.random.default_rng(payload["seed"]).normal(size=(n, actions))
    joint, slot, cascade = world.obtain_pscore_given_evaluation_policy_logit(
        action=log["action"], evaluation_policy_logit_=logits
    )
    chances = world.calc_evaluation_policy_action_dist(
        action=log["action"], evaluation_policy_logit_=logits
    )
    expected = np.random.default_rng(1).uniform(size=n * length * actions)
    common = {k: log[k] for k in ("slate_id", "reward", "position")}
    arrays = {
        "reward": log["reward"],
        "action": log["action"],
        "logging_slot": log["pscore_item_position"],
        "logging_cascade": log["pscore_cascade"],
        "target_slot": slot,
        "target_cascade": cascade,
        "chances": chances,
        "expected": expected,
    }
    np.savez(Path(payload["folder"]) / "slates.npz", shape=[n, length, actions], **arrays)
    cascades = {
        "pscore_cascade": log["pscore_cascade"],
        "evaluation_policy_pscore_cascade": cascade,
    }
    doubly = obp.ope.SlateCascadeDoublyRobust(len_list=length, n_unique_action=actions)
    return {
        "sips": obp.ope.SlateStandardIPS(len_list=length).estimate_policy_value(
            **common, pscore=log["pscore"], evaluation_policy_pscore=joint
        ),
        "iips": obp.ope.SlateIndependentIPS(len_list=length).estimate_policy_value(
            **common,
            pscore_item_position=log["pscore_item_position"],
            evaluation_policy_pscore_item_position=slot,
        ),
        "rips": obp.ope.SlateRewardInteractionIPS(len_list=length).estimate_policy_value(
            **common, **cascades
        ),
        "cascade-dr": doubly.estimate_policy_value(
            **common,
            **cascades,
            action=log["action"],
            q_hat=expected,
            evaluation_policy_action_dist=chances,
        ),
    }


def marginalised(payload: dict) -> dict:
    """Marginalised IPS on a synthetic log of the package, with cells of items as embeddings."""
    n, actions, cells = 3_000, 30, 5
    world = obp.dataset.SyntheticBanditDataset(
        n_actions=actions,
        dim_context=3,
        reward_function=obp.dataset.logistic_reward_function,
        random_state=payload["seed"],
    )
    log = world.obtain_batch_bandit_feedback(n_rounds=n)
    rng = np.random.default_rng(payload["seed"])
    target = rng.dirichlet(np.ones(actions), size=n)[:, :, None]
    cell = rng.integers(0, cells, size=actions)
    one_hot = np.eye(cells)[cell][:, :, None]
    rounds = {k: log[k] for k in ("action", "reward", "pscore", "pi_b")}
    np.savez(Path(payload["folder"]) / "cells.npz", target=target, cells=cell, **rounds)
    asked = {
        "reward": log["reward"],
        "action": log["action"],
        "context": log["context"],
        "action_embed": cell[log["action"]][:, None],
        "pi_b": log["pi_b"],
        "action_dist": target,
        "position": np.zeros(n, dtype=int),
        "p_e_a": one_hot,
    }
    marginal = obp.ope.MarginalizedInverseProbabilityWeighting(n_actions=actions)
    normalised = obp.ope.SelfNormalizedMarginalizedInverseProbabilityWeighting(n_actions=actions)
    return {
        "mips": marginal.estimate_policy_value(**asked),
        "snmips": normalised.estimate_policy_value(**asked),
    }


if __name__ == "__main__":
    questions = {
        "bootstrap": bootstrap,
        "open_bandit": open_bandit,
        "off_policy": off_policy,
        "slates": slates,
        "marginalised": marginalised,
    }
    print(json.dumps(questions[sys.argv[1]](json.load(sys.stdin))))
