"""Nobody's answer tells more than a database would from which all that he may not see was taken away."""
