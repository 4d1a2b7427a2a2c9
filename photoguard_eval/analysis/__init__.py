"""What follows from results: statistics, claims, the gate."""
