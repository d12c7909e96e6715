"""Layer `cluster`: starting and joining Ray, its tokens and addresses, and all that is private to Ray and Serve."""
