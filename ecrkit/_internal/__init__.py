"""Helpers shared by all packages; nothing here is public."""
