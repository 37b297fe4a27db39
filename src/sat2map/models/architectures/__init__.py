"""The generators: a folder for each architecture."""
