"""Traces of programs: what a record is, the file they are kept in, readers of other tools' logs, replay."""
