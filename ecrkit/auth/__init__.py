"""Registry tokens and the documents that carry them."""
