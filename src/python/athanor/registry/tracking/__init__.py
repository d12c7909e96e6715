"""What lies in MLflow and its database: tables, runs, the lock of their one writer, and MLflow's own pages."""
