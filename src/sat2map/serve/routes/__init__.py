"""Owns the addresses of the service, a file a part."""
