"""Answers of the daemon as text; each function gives lines and prints nothing."""
