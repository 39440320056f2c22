"""Pictures, clips and pages of poses."""
