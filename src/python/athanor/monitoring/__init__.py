"""Layer `monitoring`: whether what comes in still looks like what a release was trained on."""
