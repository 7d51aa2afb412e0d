"""Processes of orders: BPMN 2.0 drawings and their binding sheets, compiled into plans."""
