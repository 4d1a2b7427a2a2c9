"""The steps of an evaluation, one file each: what an artifact depends on, which is its key, and how it is made."""
