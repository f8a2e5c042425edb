"""Settings: dataclasses, and how they are loaded from YAML and key=value arguments. Nothing here waits for torch."""
