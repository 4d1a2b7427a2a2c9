"""What an evaluation found, as files: schema, conditions, what is shared."""
