"""Layer `monitoring`: whether incoming rows still resemble a release's training data."""
