"""Segmentation by networks: what they are shown of a volume, and what is made of their answer."""
