"""One process that answers: its parts, its status, and how many of them there are."""
