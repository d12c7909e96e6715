"""The page that tells people what is in a dataset."""
