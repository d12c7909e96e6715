"""Layer `system`: files that survive a crash, locks, the user, and which build is running."""
