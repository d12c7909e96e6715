"""How good a model is: metrics, their intervals, slices, calibration, and what a champion would have answered."""
