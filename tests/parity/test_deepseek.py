"""Our DeepSeek-V2 stack beside `transformers`' on the same weights."""

import pytest
import torch

from recbench.errors import InputError
from recbench.models.deepseek import Architecture, DeepSeekStack
from recbench.models.encoders.layout import Packed, Rectangle

transformers = pytest.importorskip("transformers", reason="extra `llm` is not installed")

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": None,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "n_shared_experts": 2,
    "moe_intermediate_size": 12,
    "first_k_dense_replace": 1,
    "initializer_range": 0.3,  # so that routing and attention are far from uniform
}
VARIANTS = {
    "lite": {},
    "compressed queries": {"q_lora_rank": 12},
    "long values": {"v_head_dim": 20},
    "short values": {"v_head_dim": 4},
    "experts everywhere": {"first_k_dense_replace": 0},
    "scaled experts": {"routed_scaling_factor": 2.5},
    "groups": {"topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2},
}


def published(**changes):
    """A random `DeepseekV2Model` and our stack with its weights."""
    torch.manual_seed(0)
    config = transformers.DeepseekV2Config(**SIZES | changes)
    theirs = transformers.DeepseekV2Model(config).eval()
    for name, weight in theirs.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    ours = DeepSeekStack(Architecture.published(config.to_dict()))
    ours.load_published(theirs.state_dict())
    return theirs, ours


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def pair(request):
    return published(**request.param)


def test_hidden_states_are_those_of_transformers(pair):
    theirs, ours = pair
    inputs = torch.randn(5, 17, SIZES["hidden_size"])
    expected = theirs(inputs_embeds=inputs).last_hidden_state
    found = ours(inputs.flatten(0, 1), Rectangle.of(inputs))
    # normed states of about 1, a few hundred roundings of 6e-8 each
    torch.testing.assert_close(found, expected.flatten(0, 1), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_transformers(pair):
    theirs, ours = pair
    inputs = torch.randn(3, 9, SIZES["hidden_size"])
    weights = torch.randn(3, 9, SIZES["hidden_size"])
    (theirs(inputs_embeds=inputs).last_hidden_state * weights).sum().backward()
    (ours(inputs.flatten(0, 1), Rectangle.of(inputs)) * weights.flatten(0, 1)).sum().backward()
    own = dict(ours.named_parameters())
    compared = 0
    for name, parameter in theirs.named_parameters():
        if name in own and parameter.grad is not None:
            scale = parameter.grad.abs().max().item()
            difference = (own[name].grad - parameter.grad).abs().max().item()
            assert difference <= 2e-5 * max(scale, 1.0), name
            compared += 1
    assert compared == len(own)


def test_packed_sequences_equal_single_ones(pair):
    theirs, ours = pair
    lengths = [4, 1, 11]
    inputs = torch.randn(sum(lengths), SIZES["hidden_size"])
    found = ours(inputs, Packed.of(torch.tensor(lengths)))
    expected = [
        theirs(inputs_embeds=part[None]).last_hidden_state[0] for part in inputs.split(lengths)
    ]
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-5, atol=1e-5)


def test_a_saved_checkpoint_with_single_experts_is_taken_over(tmp_path):
    from safetensors.torch import load_file

    theirs, _ = published()
    theirs.save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    ours = DeepSeekStack(Architecture.published(theirs.config.to_dict()))
    ours.load_published(state)
    inputs = torch.randn(2, 6, SIZES["hidden_size"])
    expected = theirs(inputs_embeds=inputs).last_hidden_state
    found = ours(inputs.flatten(0, 1), Rectangle.of(inputs))
    torch.testing.assert_close(found, expected.flatten(0, 1), rtol=1e-5, atol=1e-5)


def test_weights_of_another_size_are_refused():
    theirs, _ = published()
    ours = DeepSeekStack(Architecture.published(theirs.config.to_dict() | {"kv_lora_rank": 8}))
    with pytest.raises(InputError, match=r"another architecture[\s\S]*kv_a_layernorm"):
        ours.load_published(theirs.state_dict())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"attention_bias": True}, "attention_bias.*True"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters.*yarn"),
        ({"topk_method": "noaux_tc"}, "noaux_tc"),
        ({"model_type": "llama"}, "llama"),
    ],
)
def test_what_is_not_built_is_refused(change, told):
    config = transformers.DeepseekV2Config(**SIZES).to_dict() | change
    with pytest.raises(InputError, match=told):
        Architecture.published(config)
