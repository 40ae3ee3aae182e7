"""How well lists find what happened next; tables and the `Recommender` Protocol are all it sees."""
