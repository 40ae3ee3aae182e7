"""From query embeddings to candidates."""
