"""Models of labels on a cohort's features, beside a network's own answers, on the same patients."""
