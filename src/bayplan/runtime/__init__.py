"""What a host can do (``protocol``), and the engines behind it: ``native``, and ``fake`` for tests."""
