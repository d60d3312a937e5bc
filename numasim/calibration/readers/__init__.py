"""Readers of measurements: this project's own, and logs of other instruments; one file a format.

`formats.read(path)` finds the reader; `measured.together` makes one host of what several files say.
"""
