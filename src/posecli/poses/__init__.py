"""Computations on poses: similarity, merging of passes, joint angles, tracking, smoothing."""
