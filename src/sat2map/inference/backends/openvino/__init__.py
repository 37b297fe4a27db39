"""The engine of OpenVINO."""
