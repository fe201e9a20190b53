"""MetricFlow's models and questions in Cube's words: rows of its tests without a word of its own in our engine."""
