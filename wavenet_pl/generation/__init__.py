"""Generating clips: what to draw, the reference engine, and faster engines that are tested against it."""
