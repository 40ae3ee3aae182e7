"""The tiny study's query towers, exported."""

from dataclasses import replace

import pytest


@pytest.fixture(scope="session")
def exported(tiny_release):
    """The default tower: that of `tiny_fit`."""
    return tiny_release.path("query_tower.onnx")


@pytest.fixture(scope="session")
def exported_deepseek(tiny_data, tiny_arguments, tmp_path_factory):
    """A DeepSeek-V2 encoder of one layer, untrained, and the model that it is of."""
    from recbench.jobs.build import fit_two_tower
    from recbench.runtime.export import export_query_tower

    experiment = tiny_arguments["experiment"]
    towers = replace(experiment.towers, encoder="deepseek", n_layers=1)
    chosen = tiny_arguments | {"experiment": replace(experiment, towers=towers)}
    model = fit_two_tower(tiny_data, tiny_data.events, steps=0, **chosen).model
    path = tmp_path_factory.mktemp("export") / "query_tower.onnx"
    export_query_tower(model, path)
    return model, path


@pytest.fixture(scope="session")
def asked(tiny_fit):
    """Every user of the tiny log, and one without history."""
    import numpy as np

    return tiny_fit.log.queries(np.append(tiny_fit.log.users.ids, 10**9), tiny_fit.at)
