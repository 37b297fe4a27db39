"""The engine of PyTorch."""
