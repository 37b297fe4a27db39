"""Networks, model files, and where models come from."""
