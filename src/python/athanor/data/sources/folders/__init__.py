"""Tables that are folders: partitions in the names of folders, and table formats with logs of their own."""
