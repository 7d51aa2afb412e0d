"""The jobs beside the portal; each is a module with `run(job)`, and any number may run at the same time."""
