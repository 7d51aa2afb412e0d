"""People, their sessions and the clients of the API."""
