"""Rewards: earned within budget and limit, delivered, changed by people."""
