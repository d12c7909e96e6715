"""From raw tables to a snapshot, on one machine or on Ray."""
