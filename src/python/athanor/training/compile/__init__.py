"""Compiles fitted estimators to the graph that is served."""
