"""Notebooks as jobs: run, record, report, find again."""
