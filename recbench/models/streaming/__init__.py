"""Models that take clicks in as they come: a refresh costs little and equals a retrain."""
