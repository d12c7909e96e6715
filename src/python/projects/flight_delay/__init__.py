"""Will this flight arrive 15 minutes late or more? The example project, on every flight out of New York in 2013."""
