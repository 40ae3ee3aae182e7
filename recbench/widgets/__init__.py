"""Figures and tables for notebooks; each is a plain function."""
