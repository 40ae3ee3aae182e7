"""Notebooks as jobs: run, record, report, find again."""

from recbench.jobs.iri import compile_when_asked

compile_when_asked()  # before anything here imports nbformat
