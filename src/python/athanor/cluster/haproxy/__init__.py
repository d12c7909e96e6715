"""HAProxy in front of the replicas: its rules, how it starts, and what it counts."""
