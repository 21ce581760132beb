"""Generated tables of skewed columns, and what classifiers make of them."""
