"""Clusters of a cohort's series: found without labels, judged, described, and checked against how they were made."""
