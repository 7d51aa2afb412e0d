"""Orders: their documents, their canonical form, their process."""
