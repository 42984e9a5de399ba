"""The archive of scan results."""
