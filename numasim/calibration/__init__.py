"""From measurements, logs and specification sheets to machine models, and how far to trust them."""
