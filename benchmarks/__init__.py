"""Measurements, one command each: a table on the terminal, JSON with `--json FILE`. Not part of the package."""
