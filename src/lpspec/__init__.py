"""Speculative LLM decoding on a mobile NPU beside hybrid LPDDR5-PIM memory (LP-Spec, ICCAD 2025)."""

__version__ = "0.1.0"
