"""Checkpoints: finding, identifying and loading them, and laying them out without weights."""
