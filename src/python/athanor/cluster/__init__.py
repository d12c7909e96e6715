"""Layer `cluster`: joining Ray, its tokens and addresses, and the one place that touches its private names."""
