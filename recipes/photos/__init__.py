"""How the masks and metadata of `datasets/photos` are made."""
