"""Training on one CUDA device: the same loss and nearly the same weights as on the CPU."""

from dataclasses import replace

import pytest
import torch

from recbench.jobs.build import Cut, batches_for, new_towers
from recbench.settings import Experiment, TowerSettings, TrainingSettings
from recbench.tables.log import EventLog
from recbench.training.fit import fit
from recbench.training.objective import Objective

pytestmark = pytest.mark.gpu

DAY_US = 86_400_000_000


def batch_loss(towers, batch):
    return Objective()(towers, batch)[0]


@pytest.fixture(scope="module")
def settings():
    return Experiment(
        towers=TowerSettings(embedding_dim=16, hidden_dim=16),
        training=TrainingSettings(batch_size=32, n_uniform=40, n_cuts=6),
    )


@pytest.fixture(scope="module")
def data(tiny_events, tiny_items):
    return EventLog("tiny", "masked", tiny_events, tiny_items, version=0)


@pytest.fixture(scope="module")
def batches(data, settings):
    cut = Cut(
        at=data.watermark_us + 1,
        horizon_us=3 * DAY_US,
        half_life_s=5 * 86_400.0,
    )
    return batches_for(data, data.events, cut, experiment=settings)


def test_the_loss_of_a_batch_is_that_of_the_cpu(data, settings, batches):
    towers = new_towers(data, settings)
    batch = next(batches.from_step(0))
    expected = batch_loss(towers, batch).item()
    moved = batch.to(torch.device("cuda"))
    assert batch_loss(towers.cuda(), moved).item() == pytest.approx(expected, rel=1e-5)


def test_training_ends_near_where_the_cpu_ends(data, settings, batches):
    cpu = fit(new_towers(data, settings), batches, max_steps=20).towers
    gpu = fit(new_towers(data, settings), batches, max_steps=20, accelerator="gpu").towers
    for name, value in cpu.state_dict().items():
        # twenty AdamW steps of 1e-3: a sign that flips near zero costs up to one step's length
        assert (gpu.state_dict()[name] - value).abs().max() < 2e-3, name
    assert next(gpu.parameters()).device == torch.device("cpu")


@pytest.mark.parametrize("encoder", ["gru", "transformer", "hstu", "deepseek"])
def test_an_encoder_has_the_loss_of_the_cpu(data, settings, encoder):
    chosen = replace(
        settings,
        towers=replace(settings.towers, encoder=encoder),
        training=replace(settings.training, inner_weight=1.0),
    )
    cut = Cut(at=data.watermark_us + 1, horizon_us=3 * DAY_US, half_life_s=5 * 86_400.0)
    batch = next(batches_for(data, data.events, cut, experiment=chosen).from_step(0))
    towers = new_towers(data, chosen)
    expected = batch_loss(towers, batch).item()
    found = batch_loss(towers.cuda(), batch.to(torch.device("cuda"))).item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_bfloat16_ends_near_float32(data, settings, batches):
    batch = next(batches.from_step(0))
    exact, mixed = (
        fit(
            new_towers(data, settings),
            batches,
            max_steps=20,
            accelerator="gpu",
            precision=precision,
        ).towers
        for precision in ("float32", "bfloat16")
    )
    # 8 bits of mantissa in the products of a loss of about 3
    assert batch_loss(mixed, batch).item() == pytest.approx(
        batch_loss(exact, batch).item(), abs=0.05
    )


def test_tables_by_row_step_as_on_the_cpu(data, settings, batches):
    chosen = replace(settings, training=replace(settings.training, table_updates="rows"))
    cpu, gpu = (
        fit(new_towers(data, chosen), batches, max_steps=5, accelerator=accelerator).towers
        for accelerator in ("cpu", "gpu")
    )
    difference = (gpu.items.item.weight - cpu.items.item.weight).abs().max()
    assert difference < 1e-3


def test_attention_takes_a_kernel_without_the_square_of_the_history():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    from recbench.models.encoders import Packed
    from recbench.models.encoders.choose import new_encoder

    for name in ("transformer", "deepseek"):
        encoder = new_encoder(name, 64, n_layers=2).cuda().bfloat16()
        events = torch.randn(4 * 512, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        layout = Packed.of(torch.full((4,), 512, device="cuda"))
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]):
            states = encoder(events, layout, torch.zeros(len(events), device="cuda"))
            states.float().sum().backward()
        assert events.grad.isfinite().all()


def test_a_rank_on_the_gpu_trains_what_one_process_does(data, settings, batches, tmp_path):
    pytest.importorskip("dask_cuda", reason="dask_cuda is not installed")
    from recbench.cluster.open import open_cluster
    from recbench.cluster.ranks import ranks_on

    n_ranks = torch.cuda.device_count()  # with one device: nccl with one rank
    alone = fit(new_towers(data, settings), batches, max_steps=20).towers
    with open_cluster("cuda", minimum=n_ranks, maximum=n_ranks) as client:
        together = fit(
            new_towers(data, settings),
            batches,
            max_steps=20,
            accelerator="gpu",
            checkpoint=tmp_path,
            cluster=ranks_on(client, minimum=n_ranks),
        ).towers
    for name, value in alone.state_dict().items():
        # as above: twenty AdamW steps of 1e-3
        assert (together.state_dict()[name] - value).abs().max() < 2e-3, name
