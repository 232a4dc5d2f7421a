"""The models: the kinds of their parameters, what every model has in common, and one typed class for each."""
