"""DeepSeek-V2 blocks: latent attention, mixture of experts, and a stack of both."""

from recbench.models.deepseek.architecture import Architecture
from recbench.models.deepseek.stack import DeepSeekStack

__all__ = ["Architecture", "DeepSeekStack"]
