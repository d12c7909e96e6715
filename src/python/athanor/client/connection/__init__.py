"""The connection to a service: target, credentials, channel, retries, and failures as our errors."""
