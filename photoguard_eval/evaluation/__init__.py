"""From a plan of cells to a result: store, execution, statistics and the gate."""
