"""How fast peppy is, with the floors of the same run beside every figure (bench/README.md)."""
