"""How many bikes will be hired in this hour? On the hours of 2011 at Washington's Capital Bikeshare."""
