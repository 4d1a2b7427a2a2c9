"""How classes of this package and of others are found by name, built and told apart."""
