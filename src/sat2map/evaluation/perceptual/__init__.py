"""Scores that need published networks: FID's Inception and LPIPS, with weights that the user gives.

Nothing is downloaded, and nothing is unpickled but tensors.
"""
