"""What is measured: per minute in the database, and sent to Datadog when configured."""
