"""The service: an HTTP API, the page, and live map layers."""
