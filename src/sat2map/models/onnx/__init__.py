"""Owns a generator as an ONNX graph, made from its specification and weights without PyTorch.

`generator_graph` draws the graph; `rewrites` and `weights` bring the weights into its form; `metadata` is
what it says of itself.
"""
