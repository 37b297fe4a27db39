"""Translating very many rasters and pictures: on one machine, in shards for a scheduler, on a Ray cluster."""
