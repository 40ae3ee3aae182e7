"""Routing and experts beside naive loops."""

import pytest
import torch
from torch.nn import functional

from recbench.errors import InputError
from recbench.models.deepseek.architecture import Architecture
from recbench.models.deepseek.balance import balance_figures, balance_loss, expert_load
from recbench.models.deepseek.experts import MixtureOfExperts
from recbench.models.deepseek.routing import Router, Routing

N_TOKENS, DIM = 23, 16


def sizes(**changes):
    small = {"n_layers": 2, "n_heads": 2, "n_experts": 6, "experts_per_token": 2}
    return Architecture.small(DIM, **small | changes)


@pytest.fixture
def mixture():
    torch.manual_seed(0)
    mixture = MixtureOfExperts(sizes())
    for parameter in mixture.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return mixture


@pytest.fixture
def tokens():
    return torch.randn(N_TOKENS, DIM, generator=torch.Generator().manual_seed(1))


def looped(mixture, tokens):
    """Token by token, expert by expert, in float64."""
    experts, answers = mixture.experts, []
    for token in tokens.double():
        affinity = (mixture.gate.weight.double() @ token).softmax(0)
        total = torch.zeros(DIM, dtype=torch.float64)
        for expert in affinity.argsort(descending=True)[:2].tolist():
            gate, up = (experts.gate_up_proj[expert].double() @ token).chunk(2)
            hidden = functional.silu(gate) * up
            total += affinity[expert] * (experts.down_proj[expert].double() @ hidden)
        shared = mixture.shared_experts
        hidden = functional.silu(shared.gate_proj.weight.double() @ token)
        hidden = hidden * (shared.up_proj.weight.double() @ token)
        answers.append(total + shared.down_proj.weight.double() @ hidden)
    return torch.stack(answers)


def test_every_token_gets_its_experts_and_none_is_dropped(mixture, tokens):
    expected = looped(mixture, tokens).float()
    torch.testing.assert_close(mixture(tokens), expected, rtol=1e-5, atol=1e-4)


def test_all_tokens_to_one_expert_are_answered_too(mixture, tokens):
    with torch.no_grad():
        mixture.gate.weight.zero_()
        mixture.gate.weight[3] = tokens[0] * 100  # a direction that half of the tokens share
    expected = looped(mixture, tokens[:1].repeat(40, 1)).float()
    found = mixture(tokens[:1].repeat(40, 1))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_the_dense_form_is_the_sparse_one(mixture, tokens):
    routing = mixture.gate(tokens)
    sparse, dense = (
        form(tokens, routing) for form in (mixture.experts.sparse, mixture.experts.dense)
    )
    torch.testing.assert_close(dense, sparse, rtol=1e-5, atol=1e-5)


def test_a_bias_moves_the_choice_and_not_the_weights(tokens):
    torch.manual_seed(0)
    router = Router(sizes())
    router.bias[4] = 10.0
    routing = router(tokens)
    assert (routing.experts == 4).any(dim=1).all()
    torch.testing.assert_close(routing.weights, routing.affinities.gather(1, routing.experts))


def test_the_bias_evens_out_a_crooked_load(tokens):
    torch.manual_seed(0)
    router = Router(sizes())
    torch.nn.init.normal_(router.weight, std=0.3)
    with torch.no_grad():
        router.weight[1] += tokens.mean(0) * 6  # a favourite
    many = torch.randn(500, DIM) + tokens.mean(0)

    def peak():
        load = expert_load(router(many)).float()
        return (load.max() / load.mean()).item()

    before = peak()
    for _ in range(600):
        router.adjust_bias(expert_load(router(many)).float(), rate=1e-3)
    assert before > 1.8
    assert peak() < 1.15


def test_grouped_routing_stays_within_the_best_groups():
    torch.manual_seed(0)
    grouped = sizes(n_experts=8, n_groups=4)
    router = Router(grouped)
    torch.nn.init.normal_(router.weight)
    routing = router(torch.randn(50, DIM))
    for affinities, experts in zip(routing.affinities, routing.experts, strict=True):
        best = affinities.view(4, 2).amax(dim=1).argsort(descending=True)[:2]
        assert set((experts // 2).tolist()) <= set(best.tolist())
        allowed = torch.cat([torch.tensor([2 * g, 2 * g + 1]) for g in best.tolist()])
        expected = allowed[affinities[allowed].argsort(descending=True)[:2]]
        assert set(experts.tolist()) == set(expected.tolist())


def routing_of(affinities, experts):
    affinities, experts = torch.tensor(affinities), torch.tensor(experts)
    return Routing(affinities, experts, affinities.gather(1, experts))


def test_balance_by_hand():
    # 4 tokens, 4 experts in 2 groups, 1 each; sequence 0: tokens 0 1 2, sequence 1: token 3
    routing = routing_of(
        [[0.7, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]],
        [[0], [0], [1], [3]],
    )
    sequences = torch.tensor([0, 0, 0, 1])
    # load 2 1 0 1: over the even load 2 1 0 1; mean affinity .4 .25 .1 .25
    options = {"n_groups": 2, "expert": 0.0, "device": 0.0, "sequence": 0.0}
    expert = balance_loss(routing, sequences, **options | {"expert": 1.0})
    assert expert.item() == pytest.approx(2 * 0.4 + 1 * 0.25 + 0 + 1 * 0.25)
    # groups: mean load over even (2 + 1) / 2 and (0 + 1) / 2, summed affinity .65 and .35
    device = balance_loss(routing, sequences, **options | {"device": 1.0})
    assert device.item() == pytest.approx(1.5 * 0.65 + 0.5 * 0.35)
    # sequence 0: 4 * (2/3, 1/3, 0, 0) with (.5, .3, .1, .1); sequence 1: 4 * (0, 0, 0, 1) with .7
    sequence = balance_loss(routing, sequences, **options | {"sequence": 1.0})
    assert sequence.item() == pytest.approx((4 * (2 / 3 * 0.5 + 1 / 3 * 0.3) + 4 * 0.7) / 2)
    figures = balance_figures(routing, sequences, n_groups=2)
    assert figures["expert_balance"] == pytest.approx(2.0)
    assert figures["device_balance"] == pytest.approx(1.5)
    assert figures["sequence_balance"] == pytest.approx((2 / 0.75 + 4) / 2)
    assert figures["experts_used_frac"] == pytest.approx(0.75)


def test_the_balance_loss_pulls_affinity_away_from_favourites(tokens):
    torch.manual_seed(0)
    router = Router(sizes())
    with torch.no_grad():
        router.weight[2] += tokens.mean(0) * 3
    optimizer = torch.optim.SGD(router.parameters(), lr=0.5)
    sequences = torch.zeros(N_TOKENS, dtype=torch.int64)
    losses = []
    for _ in range(40):
        loss = balance_loss(
            router(tokens), sequences, n_groups=1, expert=1.0, device=0.0, sequence=0.0
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    assert losses[-1] >= 0.9  # about 1 where even


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"experts_per_token": 7}, "7 and 6"),
        ({"n_groups": 4}, "6 and 4"),
        ({"n_heads": 3}, "multiple of 12, got 16"),
        ({"n_experts": 4, "n_groups": 4, "experts_per_token": 3}, "3 experts"),
    ],
)
def test_counts_that_do_not_fit_are_refused(changes, told):
    with pytest.raises(InputError, match=told):
        sizes(**changes)
