"""Results as values, and their analysis: statistics, figures and comparisons."""
