"""Items by their text: pretrained encoders, what they said before, and adapters to a log."""

from recbench.models.text.embeddings import text_embeddings
from recbench.models.text.encoder import TextEncoder

__all__ = ["TextEncoder", "text_embeddings"]
