"""Rules for values, rows and whole datasets, and the quarantine of rows that break one."""
