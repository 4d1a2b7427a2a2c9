"""Emoji scenes: an object in a drawn place, under one look, with a caption and the object's mask."""
