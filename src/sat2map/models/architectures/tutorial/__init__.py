"""The generator of the satellite-mapping tutorial."""
