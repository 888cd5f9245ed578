"""The built-in steps of realtime pipelines, a kind a module; ``realtime.steps`` offers them to agencies."""
