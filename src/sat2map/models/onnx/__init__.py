"""A generator as an ONNX graph, made from its specification and weights without PyTorch.

`graph` adds nodes and layers, `generator_graph` puts a network's inputs and outputs around them; `rewrites`
and `weights` bring the weights into the graph's form; `metadata` is what the graph says of itself.
"""
