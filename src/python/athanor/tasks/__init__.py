"""What a label asks: one module for each kind of label. No other layer asks which kind it is."""
