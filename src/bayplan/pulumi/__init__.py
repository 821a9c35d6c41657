"""The Pulumi provider: a face of the engine, as ``cli`` and ``bridge`` are."""
