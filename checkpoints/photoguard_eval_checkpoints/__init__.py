"""Checkpoints for photoguard-eval that few runs need; `photoguard-eval info` lists them once they are installed."""
