"""The simulator backend: the machines of the protocol on a simpy clock."""
