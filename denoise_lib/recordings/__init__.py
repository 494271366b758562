"""Recordings as people have them, in and out: read, measured and written block by block."""
