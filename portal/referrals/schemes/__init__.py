"""Schemes with their versions, and the rewards and conditions that they are made of."""
