"""From a request to a result: plan, store, immunize, edit, score."""
