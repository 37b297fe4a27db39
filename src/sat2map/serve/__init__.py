"""Owns the service: an HTTP API, the page, and live map layers; `commands.serve` starts it."""
