"""The sizes of a DeepSeek-V2 stack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from recbench.errors import InputError

__all__ = ["Architecture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """Every size of a stack; ``small`` derives them from a few."""

    dim: int  # D
    n_layers: int
    n_dense_layers: int  # the first ones have a plain gated perceptron
    n_heads: int  # H
    key_value_rank: int  # of the latent that keys and values are made from
    query_rank: int | None  # of the query's latent; None: queries come straight from D
    nope_dim: int  # of a head's query and key that know no position
    rope_dim: int  # of the rotated part; the key's is one for all heads
    value_dim: int  # of a head's values
    dense_dim: int  # inner width of the plain perceptron
    n_experts: int  # E, routed ones
    experts_per_token: int  # K of them
    n_shared_experts: int
    expert_dim: int  # inner width of one expert
    n_groups: int = 1  # of experts, one a device; more than one: group-limited routing
    groups_per_token: int = 1  # a token's experts lie in so many groups
    routed_scale: float = 1.0  # factor on the routed experts' weights
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        """Counts that must fit into each other do."""
        for part, whole in (
            ("experts_per_token", "n_experts"),
            ("groups_per_token", "n_groups"),
            ("n_dense_layers", "n_layers"),
        ):
            if getattr(self, part) > getattr(self, whole):
                raise InputError(
                    f"`{part}` must be at most `{whole}`, got {getattr(self, part)} and "
                    f"{getattr(self, whole)}"
                )
        if self.n_experts % self.n_groups:
            raise InputError(
                f"`n_experts` must be a multiple of `n_groups`, got {self.n_experts} and "
                f"{self.n_groups}"
            )
        if self.experts_per_token > self.groups_per_token * (self.n_experts // self.n_groups):
            raise InputError(
                f"{self.groups_per_token} groups hold fewer than `experts_per_token` "
                f"{self.experts_per_token} experts"
            )
        if self.rope_dim % 2:
            raise InputError(f"`rope_dim` must be even, got {self.rope_dim}")

    @classmethod
    def small(
        cls,
        dim: int,
        *,
        n_layers: int,
        n_heads: int,
        n_experts: int,
        experts_per_token: int,
        n_groups: int = 1,
    ) -> Self:
        """In the published proportions: a token passes about as much as in a perceptron of 4 D.

        Raises:
            InputError: ``dim`` is no multiple of ``4 * n_heads``, or counts do not fit.
        """
        if dim % (4 * n_heads):
            raise InputError(f"`dim` must be a multiple of {4 * n_heads}, got {dim}")
        head_dim = dim // n_heads
        return cls(
            dim=dim,
            n_layers=n_layers,
            n_dense_layers=min(1, n_layers - 1),
            n_heads=n_heads,
            key_value_rank=dim // 2,
            query_rank=None,
            nope_dim=head_dim,
            rope_dim=head_dim // 2,
            value_dim=head_dim,
            dense_dim=dim * 8 // 3,
            n_experts=n_experts,
            experts_per_token=experts_per_token,
            n_shared_experts=1,
            expert_dim=dim * 8 // (3 * (experts_per_token + 1)),
            n_groups=n_groups,
            groups_per_token=max(1, n_groups // 2),
        )

    @classmethod
    def published(cls, config: Mapping[str, Any]) -> Self:
        """From the ``config.json`` of a checkpoint in Hugging Face's format.

        Raises:
            InputError: another kind of model, or a variant that is not built here.
        """
        rope = config.get("rope_parameters") or {}
        grouped = config.get("topk_method") == "group_limited_greedy"
        unlike = {
            "model_type": config["model_type"] != "deepseek_v2",
            "rope_parameters": rope.get("rope_type", "default") != "default",
            "rope_scaling": bool(config.get("rope_scaling")),
            "attention_bias": bool(config.get("attention_bias")),
            "mlp_bias": bool(config.get("mlp_bias")),
            "hidden_act": config.get("hidden_act", "silu") != "silu",
            "topk_method": config.get("topk_method", "greedy")
            not in {"greedy", "group_limited_greedy"},
        }
        if any(unlike.values()):
            names = [name for name, differs in unlike.items() if differs]
            raise InputError(f"Not built here: { ({name: config.get(name) for name in names}) }")
        return cls(
            dim=config["hidden_size"],
            n_layers=config["num_hidden_layers"],
            n_dense_layers=config["first_k_dense_replace"],
            n_heads=config["num_attention_heads"],
            key_value_rank=config["kv_lora_rank"],
            query_rank=config["q_lora_rank"],
            nope_dim=config["qk_nope_head_dim"],
            rope_dim=config["qk_rope_head_dim"],
            value_dim=config["v_head_dim"],
            dense_dim=config["intermediate_size"],
            n_experts=config["n_routed_experts"],
            experts_per_token=config["num_experts_per_tok"],
            n_shared_experts=config["n_shared_experts"],
            expert_dim=config["moe_intermediate_size"],
            n_groups=config["n_group"] if grouped else 1,
            groups_per_token=config["topk_group"] if grouped else 1,
            routed_scale=config["routed_scaling_factor"],
            rope_theta=rope.get("rope_theta", config.get("rope_theta", 10_000.0)),
            norm_eps=config["rms_norm_eps"],
        )
