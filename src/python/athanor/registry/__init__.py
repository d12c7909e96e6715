"""Layer `registry`: which releases there are, which of them answers, and how it came to that."""
