"""The interactive notebook: choose a sound, its damage and networks, and hear what changes."""
