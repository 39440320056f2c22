"""Checks and measurements on records and models: one module for each command."""
