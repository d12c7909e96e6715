"""The doors of a replica, gRPC and REST, and the one way of a request behind them."""
