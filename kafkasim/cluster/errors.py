"""What goes wrong with a real cluster and can be mended by whoever sits before it."""


class ClusterError(Exception):
    """A real cluster cannot be had or used (no Java, no broker, a topic refused); the message is one clear sentence for the user."""
