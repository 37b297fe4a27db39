"""Drawn towns, in the order they come about: plane geometry, styles, the plan, the paint, the photograph."""
