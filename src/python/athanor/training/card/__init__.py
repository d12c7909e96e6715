"""The model card: one page that tells people what a release is, how good it is, and where it ends."""
