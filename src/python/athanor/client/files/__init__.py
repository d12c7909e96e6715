"""Files of rows and of predictions: read, cut, asked, written."""
