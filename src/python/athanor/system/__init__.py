"""Layer `system`: files that survive a power failure, locks, the user, and which build is running."""
