"""The npm client of Cube against our server."""
