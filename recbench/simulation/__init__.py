"""Experiments in the simulated world; every number from here is a simulated one."""
