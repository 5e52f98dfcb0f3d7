"""Real brokers: the backend that runs a scenario, unchanged, on Apache Kafka and fills the same ledger as the simulator."""
