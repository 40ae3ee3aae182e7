"""Who ranks best on a log: tuned rivals beside our models, on rolling cut-offs, with costs."""
