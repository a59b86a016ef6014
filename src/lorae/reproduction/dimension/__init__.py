"""The benchmark of known dimensions: data sets, estimators and tables."""
