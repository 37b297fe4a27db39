"""Pairs of images: found, read, checked, cached, augmented, synthesized."""
