"""A tower as something that answers: exported, and run."""
