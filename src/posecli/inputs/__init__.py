"""Inputs: expanding arguments, decoding pictures and clips."""
