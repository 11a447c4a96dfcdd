"""How results are shown: tables, figures and JSON."""
