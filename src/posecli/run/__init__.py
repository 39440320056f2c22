"""Runs: inputs through an engine to records, files and the exit status."""
