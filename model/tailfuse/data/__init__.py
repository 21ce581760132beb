"""From a table to the arrays of three parts, with features fitted on the training rows."""
