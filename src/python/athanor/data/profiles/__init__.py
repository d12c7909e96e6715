"""How columns are distributed, and how two datasets differ: profiles, drift, differences."""
