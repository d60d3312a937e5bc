"""Readers of other tools' logs: one file a format, each turns a stream into a trace file."""
