"""Stage 05: predictors, protocols, metrics."""
