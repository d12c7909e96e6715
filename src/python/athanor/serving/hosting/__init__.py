"""What runs replicas: this machine, a cluster of machines, Kubernetes."""
