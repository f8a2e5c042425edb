"""The commands: each parses, calls one function, and prints. Nobody imports a command."""
