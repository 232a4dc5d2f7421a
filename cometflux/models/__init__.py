"""The models: the kinds of parameters, the base class of every model, and one typed class for each."""
