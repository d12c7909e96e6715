"""How good a model is: metrics, intervals, slices, calibration, and the champion's predictions for comparison."""
