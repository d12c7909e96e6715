"""Connection to a service: target, credentials, channel, retries, and failed calls as errors."""
