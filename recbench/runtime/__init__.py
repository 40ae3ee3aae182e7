"""A tower as something that answers: exported, checked, and run."""
