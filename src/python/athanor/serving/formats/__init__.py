"""Questions and answers in each protocol's messages, and errors as each protocol says them."""
