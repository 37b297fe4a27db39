"""The engine of ONNX Runtime, which the base install brings."""
