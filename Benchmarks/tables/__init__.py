"""The tables that results.py writes into pages, one room for each kind."""
