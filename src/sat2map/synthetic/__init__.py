"""Synthetic towns, in the order in which they come about: geometry, styles, layout, paint, photograph."""
