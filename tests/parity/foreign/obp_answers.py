"""Answers of the Open Bandit Pipeline: a question's name as argument, JSON in and out."""

import json
import sys

import numpy as np
import obp.dataset
import obp.utils


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


if __name__ == "__main__":
    questions = {"bootstrap": bootstrap, "open_bandit": open_bandit}
    print(json.dumps(questions[sys.argv[1]](json.load(sys.stdin))))
