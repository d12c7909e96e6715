"""Layer `release`: what training hands to serving. Write it, read it, verify it, run it."""
