"""Training of the segmentation networks: labels, examples, composites, streaks, samples and runs."""
