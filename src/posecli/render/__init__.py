"""Output of poses as pictures, clips, plots and pages."""
