"""The paper's tables: published numbers, the plan to measure them, and claims about the results."""
