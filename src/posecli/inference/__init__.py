"""Inference: from a picture to its record."""
