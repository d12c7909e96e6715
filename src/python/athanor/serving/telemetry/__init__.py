"""What is kept of each request: metrics, traces, logs, predictions."""
