"""The paper's theorems, measured: convergence, rank and distance contrast."""
