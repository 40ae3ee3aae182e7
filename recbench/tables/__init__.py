"""Events and items as checked tables: schema, lake, vocabulary, splits."""
