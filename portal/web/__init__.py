"""What every page and every call of the API passes through."""
