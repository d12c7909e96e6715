"""Layer `release`: what training hands to serving. Write, read, verify, sign and run a release."""
