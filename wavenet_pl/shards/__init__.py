"""Shards of audio on disk: how they are written, indexed, checked and read. Nothing here waits for torch."""

from __future__ import annotations

import os

# Before webdataset is imported anywhere: without it a `.pyd` member or a `pipe:` URL runs code.
os.environ["WDS_SECURE"] = "1"
