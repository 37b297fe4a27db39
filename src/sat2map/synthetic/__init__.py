"""Synthetic towns, in the order in which they come about: geometry, styles, plan, paint, photograph."""
