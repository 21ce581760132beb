"""Raw values in, predictions out: batching, shadows, explanations."""
