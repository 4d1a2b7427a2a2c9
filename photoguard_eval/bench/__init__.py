"""The suite: `pytest --pyargs photoguard_eval.bench`, or `pytest bench/` in a clone."""
