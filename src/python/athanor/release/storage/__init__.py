"""Where the files of a release store are kept."""
