"""The HTTP server: editor and API; needs the extra `serve`, which only this package imports."""
