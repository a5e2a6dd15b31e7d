"""Contenders of benchmarks/speed.py: the same model, trained by minamo and by others, each in a process of its own."""
