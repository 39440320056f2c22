"""What is computed from poses: likeness, angles, tracks."""
