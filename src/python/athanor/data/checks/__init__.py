"""What must hold for values, rows and whole datasets, and what happens to rows that break a rule."""
