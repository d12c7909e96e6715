"""MLflow and its database: tables, runs, the writer's lock, and MLflow's own pages."""
