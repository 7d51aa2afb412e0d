"""Waybill: the portal of orders and what happens to them."""
