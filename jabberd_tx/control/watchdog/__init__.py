"""Keeps up the processes of a machine: starts them, looks whether they live, starts them again."""
