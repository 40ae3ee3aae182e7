"""Policies of the simulated world: retrieval by towers, and what decides among the candidates."""
