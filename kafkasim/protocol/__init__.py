"""Kafka's rules, as state machines without clock, wire, dice or files. Standard library only.

Every duration and instant in this package is in milliseconds, every size in bytes, every offset is Kafka's: exclusive at the
upper end (`high_watermark` 5 means that offsets 0 to 4 are committed).
"""
