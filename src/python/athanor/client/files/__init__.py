"""Files of rows and of predictions."""
