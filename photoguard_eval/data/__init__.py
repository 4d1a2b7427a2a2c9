"""Datasets: cases, making them and checking them."""
