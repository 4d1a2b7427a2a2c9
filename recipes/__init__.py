"""How the embedded checkpoints and datasets are made."""
